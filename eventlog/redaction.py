"""Removing secrets from texts that are stored, logged or shown.

This module has the one table of the forms that secrets take. `redact` replaces them, in errors, log
lines and URLs alike. Every pattern takes time linear in the text, whatever the text holds.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final, TypeAlias, cast

from eventlog.error_text import printable, text_of

__all__ = ["ERROR_LENGTH", "MARK", "redact", "redact_url", "redacted", "redacted_with_causes"]

ERROR_LENGTH: Final = 500
"""Characters of an error that are kept in an event."""

READ_LENGTH: Final = 10 * ERROR_LENGTH
"""Characters of an error that are searched for secrets; the rest is never shown."""

CAUSES_DEEP: Final = 5
"""How far the causes of an error, and the groups in it, are followed."""

CAUSES: Final = 12
"""How many errors a recorded one shows, itself included."""

LEAST_SHARE: Final = 40
"""The fewest characters of each of them."""

MARK: Final = "[redacted]"
"""What replaces a secret."""

_NAMES: Final = (
    r"pass(?:wor[dt]|wd|phrase|code)?|pwd|secret|credential|"
    r"(?:api|access|secret|private|account|signing|encryption|subscription|shared[-_ ]?access|"
    r"storage|master|auth)[-_ ]?key(?:[-_ ]id)?|apikey|accountkey|sharedaccesskey|"
    r"(?:access|auth|refresh|session|security|id|bearer|bot|csrf|xsrf|user|device|identity)[-_ ]?token|"
    r"client[-_ ]?secret|webhook[-_ ]?secret|signature|nkey|seed"
)
"""How the names of secrets end, in any case: ``sslpassword``, ``DB_PASSWORD``, ``X-Api-Key``."""

_NOT_SECRET: Final = r"(?!\[redacted\]|\*\*\*|(?:None|null|true|false)\b)"  # noqa: S105 - a pattern

_BARE: Final = r"[^\s&;\"'<>\\]*[^\s&;\"'<>\\,.)\]}]"
"""A value without quotes, and without the punctuation of the sentence around it."""

_BETWEEN: Final = r"\\{0,3}[\"']?\s{0,4}(?:=>|:=|[:=])\s{0,4}"
"""The text between a name and its value."""

_PREFIXED: Final = "|".join(  # noqa: FLY002 - one form a line, with its provider
    (
        r"(?:sk|pk|rk)[-_][A-Za-z0-9_-]{8,}",  # OpenAI, Anthropic, Stripe and many others
        r"gh[oprsu]_[A-Za-z0-9]{16,}",
        r"github_pat_[A-Za-z0-9_]{16,}",
        r"gl(?:pat|dt|rt|cbt|ptt|ft|soat|agent|oas)-[A-Za-z0-9_.-]{16,}",
        r"hf_[A-Za-z0-9]{16,}",
        r"xox[a-z](?:\.xox[a-z])?-[A-Za-z0-9-]{8,}",  # Slack
        r"xapp-[A-Za-z0-9-]{8,}",
        r"(?:AKIA|ASIA|ABIA|ACCA|AROA|AIDA)[A-Z0-9]{12,}",  # AWS
        r"AIza[A-Za-z0-9_-]{20,}",  # Google
        r"ya29\.[A-Za-z0-9._-]{10,}",
        r"GOCSPX-[A-Za-z0-9_-]{10,}",
        r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)*",  # JSON web tokens
        r"npm_[A-Za-z0-9]{20,}",
        r"pypi-[A-Za-z0-9_-]{16,}",
        r"SG\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",  # SendGrid
        r"do[opr]_v1_[a-f0-9]{20,}",  # DigitalOcean
        r"shp(?:at|ss|ca|pa)_[A-Fa-f0-9]{20,}",  # Shopify
        r"sq0[a-z]{3}-[A-Za-z0-9_-]{16,}",  # Square
        (
            r"(?:gsk|r8|whsec|sbp|sbs|dckr_pat|dckr_oat|rubygems|nvapi|xai|pplx|tvly|ntn|figd|glc|glsa|"
            r"lin_api|lin_oauth|lsv2_pt|lsv2_sk|secret|phc|phx|fly|FlyV1|co|cfut|cfat|tskey|napi|sntrys|"
            r"sntryu|pul|tfp|atlasv1|hcp|rnd|vercel|vcp|fc|jina|PMAK|NRAK|NRII|NRJS|HRKU)"
            r"[-_][A-Za-z0-9_-]{16,}"
        ),
        r"hv[sbr]\.[A-Za-z0-9_-]{16,}",  # Vault
        r"dapi[a-f0-9]{32}",  # Databricks
        r"ATATT3[A-Za-z0-9_=-]{16,}",  # Atlassian
        r"key-[a-f0-9]{32}",  # Mailgun
        r"(?:SK|AC)[a-f0-9]{32}",  # Twilio
        r"dp\.(?:pt|st|ct|sa)\.[A-Za-z0-9._-]{16,}",  # Doppler
        r"AGE-SECRET-KEY-1[A-Z0-9]{20,}",
        r"S[UANOCX][A-Z2-7]{56}",  # seeds of NATS keys
        r"\d{8,10}:[A-Za-z0-9_-]{35}",  # Telegram
        r"1//0[A-Za-z0-9_-]{20,}",  # Google refresh tokens
        r"fm[12]_[A-Za-z0-9+/=_-]{16,}",  # Fly
        r"dt0[a-z]\d\d\.[A-Z0-9]{10,}\.[A-Z0-9]{20,}",  # Dynatrace
        r"pscale_(?:tkn|pw|oauth)_[A-Za-z0-9_.-]{16,}",  # PlanetScale
        r"[A-Za-z0-9]{10,20}\.atlasv1\.[A-Za-z0-9_-]{16,}",  # Terraform
    )
)

_LOOKS_DRAWN: Final = r"(?=[a-z.]*[A-Z0-9_~+/=-]|[a-z]{20})"
"""A token, rather than a word of a sentence."""

_Words: TypeAlias = tuple[tuple[str, ...], ...]

_NAMED: Final = (("pass", "pwd", "secret", "cred", "key", "token", "nature", "seed"),)
_ASSIGNED: Final = (*_NAMED, (":", "="))
_TAGGED: Final = (*_NAMED, ("<",))
_OPTION: Final = (*_NAMED, ("--",))
_SCHEMES: Final = (
    *("apikey", "api-key", "bot", "negotiate", "ntlm", "googlelogin", "geniekey", "splunk", "ssws"),
    "pveapitoken",
)

_FORMS: Final[tuple[tuple[str, str, _Words], ...]] = (
    # Keys in PEM, even if they are cut short or their line feeds are escaped.
    (
        (
            r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
            r"(?s:.*?)(?:-----END [A-Z0-9 ]{1,60}-----|\Z)"
        ),
        MARK, (("private key",),),
    ),
    (r"(hooks\.slack\.com/(?:services|workflows)/)[A-Za-z0-9/_-]+", rf"\1{MARK}", (("hooks.slack",),)),
    (r"(discord(?:app)?\.com/api/webhooks/\d{1,30}/)[A-Za-z0-9_-]+", rf"\1{MARK}", (("api/webhooks",),)),
    (r"(api\.telegram\.org/(?:file/)?bot)\d{6,12}:[A-Za-z0-9_-]{20,}", rf"\1{MARK}", (("api.telegram",),)),
    # PuTTY's key files, even if they are cut short.
    (r"(Private-Lines: \d{1,4}\r?\n)(?s:.+?)(?=Private-MAC|\Z)", rf"\1{MARK}\n", (("private-lines",),)),
    # Logins of `curl`, of `.netrc` and of Docker's configuration.
    (
        r"((?:^|\s)(?:-u|--user|--proxy-user)[ =]\s{0,4}[\"']?[^\s:\"'/]{1,64}:)" + _NOT_SECRET +
        r"[^\s\"'/][^\s\"']*",
        rf"\1{MARK}", (("-u",),),
    ),
    (r"(\blogin\s{1,4}\S{1,64}\s{1,4}password\s{1,4})" + _NOT_SECRET + r"\S+", rf"\1{MARK}", (("login",),)),
    (r"([\"']auth[\"']\s{0,4}:\s{0,4}[\"'])[A-Za-z0-9+/]{8,}={0,2}", rf"\1{MARK}", (("auth",),)),
    # Headers; those of several fields up to the end of the line.
    (
        (
            r"(?i)((?:proxy-)?authorization" + _BETWEEN + r"\\{0,3}[\"']?)"
            r"(?:digest|hawk|oauth|aws4-[a-z0-9-]{1,30})\s[^\r\n]+"
        ),
        rf"\1{MARK}", (("author",),),
    ),
    (
        (
            r"(?i)((?:proxy-)?authorization" + _BETWEEN + r"\\{0,3}[\"']?)" + _NOT_SECRET +
            r"(?:[a-z][a-z0-9-]{1,30}[ \t]{1,4})?" + _NOT_SECRET + r"[^\s\"'\\,;]+"
        ),
        rf"\1{MARK}", (("author",),),
    ),
    (
        r"(?i)(\bcookie" + _BETWEEN + r"\\{0,3}[\"']?)" + _NOT_SECRET + r"[^\s\"'\\][^\"'\\\r\n]*",
        rf"\1{MARK}", (("cook",),),
    ),
    # Names and values, in any notation.
    (
        (
            rf"(?i)((?:{_NAMES}){_BETWEEN}\\{{0,3}}[\"'])" + _NOT_SECRET +
            r"(?:(?<=\")(?:[^\"\\\n]|\\[^\"\n])(?:[^\"\\\n]|\\(?![\"'](?:\s|[,}\])]|$)).)*"
            r"|(?<=')(?:[^'\\\n]|\\.)+)"
        ),
        rf"\1{MARK}", _ASSIGNED,
    ),
    (rf"(?i)((?:{_NAMES}){_BETWEEN})" + _NOT_SECRET + _BARE, rf"\1{MARK}", _ASSIGNED),
    (rf"(?i)(<(?:[a-z:]{{0,20}})(?:{_NAMES}|token)>)" + _NOT_SECRET + r"[^<]+", rf"\1{MARK}", _TAGGED),
    (
        rf"(?i)(--(?:[a-z]{{1,20}}-)?(?:{_NAMES}|token)[ =]\s{{0,4}}[\"']?)" + _NOT_SECRET + r"(?!-)[^\s\"']+",
        rf"\1{MARK}", _OPTION,
    ),
    # A token by its name alone: in quotes or after an equals sign, else only what looks random.
    (
        (
            r"(?i)(token(?:\\{0,3}[\"']\s{0,4}[:=]\s{0,4}\\{0,3}[\"']|\s{0,4}=\s{0,4}[\"']?))" + _NOT_SECRET +
            r"[^\s&;\"'<>\\,)\]}]{4,}"
        ),
        rf"\1{MARK}", (("token",), ("=", '"', "'")),
    ),
    (
        (
            r"((?i:\btoken)(?::\s{0,4}|\s{1,4})[\"']?)" + _NOT_SECRET +
            r"(?=[A-Za-z_.-]*\d)[A-Za-z0-9._~+/=-]{8,}"
        ),
        rf"\1{MARK}", (("token",),),
    ),
    (
        r"(?i)([?&;](?:sig|key|code|auth|jwt|x-amz-signature)=)" + _NOT_SECRET + r"[^\s&;\"'<>]{6,}",
        rf"\1{MARK}", (("?", "&", ";"), ("=",)),
    ),
    (
        (
            r"(?i)(\bpass(?:word|phrase|code)\s{1,4}(?:is|was)(?::\s{0,4}|\s{1,4})[\"']?)" + _NOT_SECRET +
            r"(?=[^\s\d\"']{0,64}\d)[^\s\"']{6,}"
        ),
        rf"\1{MARK}", (("pass",),),
    ),
    # Schemes of authentication.
    (
        r"((?i:\bbearer)(?:\s*:\s*|\s+)[\"']?)" + _LOOKS_DRAWN + r"[A-Za-z0-9._~+/=-]{6,}",
        rf"\1{MARK}", (("bearer",),),
    ),
    (
        (
            r"((?i:\bbasic)(?:\s*:\s*|\s+))(?=[A-Za-z+/]*(?:\d|=|[a-z][A-Z]))[A-Za-z0-9+/_-]{8,}={0,2}"
        ),
        rf"\1{MARK}", (("bas",),),
    ),
    (
        (
            r"(\b(?:ApiKey|Api-Key|Bot|Negotiate|NTLM|GoogleLogin|GenieKey|Splunk|SSWS|PVEAPIToken)"
            r"[ =]\s{0,4})(?=[A-Za-z_.-]*[\d=])[A-Za-z0-9._~+/=!@-]{12,}"
        ),
        rf"\1{MARK}", (_SCHEMES,),
    ),
)  # fmt: skip
"""Each pattern, what replaces it, and words in lower case: a text that the pattern matches has one of
each group. Patterns take a dotless i for an i, so no word that stands for any case has one."""


_Forms: TypeAlias = "list[tuple[re.Pattern[str], str, frozenset[int]]]"


@cache
def _compiled() -> tuple[_Forms, list[tuple[str, ...]]]:
    """Return the table, compiled when first needed: that takes longer than the import.

    Each pattern has the places of its groups of words in a list beside it, where each group is once.
    """
    places: dict[tuple[str, ...], int] = {}
    forms: _Forms = []
    for form, replacement, words in _FORMS:
        needed = frozenset(places.setdefault(group, len(places)) for group in words)
        forms.append((re.compile(form), replacement, needed))
    return forms, list(places)


@cache
def _prefixed() -> re.Pattern[str]:
    """Return the pattern of the keys that providers mark with a prefix."""
    return re.compile(rf"(?<![A-Za-z0-9])(?:{_PREFIXED})")


_RUN: Final = re.compile(r"[\dA-Za-z_.:/+=~-]{11,}")
"""Characters that such keys are made of, as many as the shortest of them has. The pattern of all keys
tries each place of a text; most texts have few words as long as that."""


_URL: Final = re.compile(r"((?:\b(?:nats|tls|wss?|https?))?)://([^\s\"'<>]+)")
"""A URL up to its end; where the user's part may be a token alone, with its scheme."""

_PORT: Final = re.compile(r"\d{1,5}(?:[/,]|$)")

_URL_LOGIN: Final = re.compile(r"://[^/?#:@]*:")
"""What precedes the password in a URL."""

_PARAMETERS: Final = re.compile(r"[?#]")

_URL_TOKEN: Final = re.compile(r"^((?:nats|tls|wss?|https?)://)[^/?#:@]+(?=@)")

_URL_VALUE: Final = rf"(?i)([?&;][\w.-]{{0,64}}?(?:{_NAMES}|token|sig|jwt)=)[^&#]+"


def redact(text: str) -> str:
    """Return a text with every secret of a known form replaced by `MARK`.

    Takes time linear in the text. Redacting twice changes nothing more.
    """
    lowered = text.lower().replace("\u017f", "s")  # Patterns take a long s for an s, too.
    if "://" in text:
        text = _URL.sub(_without_user, text)
    forms, groups = _compiled()
    missing: set[int] = set()
    for place, words in enumerate(groups):
        # Looking for a word costs a hundredth of what the pattern does.
        for word in words:
            if word in lowered:
                break
        else:
            missing.add(place)
    for form, replacement, needed in forms:
        if missing.isdisjoint(needed):
            text = form.sub(replacement, text)
    return _RUN.sub(_without_keys, text)


def _without_keys(run: re.Match[str]) -> str:
    """Return characters without blanks between them, without the keys that providers mark."""
    return _prefixed().sub(MARK, run[0])


def _without_user(url: re.Match[str]) -> str:
    """Return a URL in a text without its user's part, if that holds a secret.

    A password may hold slashes, @ and question marks, which should be escaped: so the part goes to
    the last @ before the parameters, or else to the last of all.
    """
    scheme, rest = url.groups()
    head = re.split(r"[?#]", rest, maxsplit=1)[0]
    _, colon, password = head.partition(":")
    end = head.rfind("@")
    if end < 0 and colon and not _PORT.match(password):
        end = rest.rfind("@")
    user = rest[: max(end, 0)]
    is_secret = ":" in user or (scheme and user != MARK)
    if not user or not is_secret or "/" in user.partition(":")[0]:
        return url[0]
    return f"{url[0][: -len(rest)]}{MARK}{rest[end:]}"


def redact_url(url: str) -> str:
    """Return a store's URL with ``***`` in place of passwords and tokens."""
    url = _without_password(url)
    return re.sub(_URL_VALUE, r"\1***", _URL_TOKEN.sub(r"\1***", url))


def _without_password(url: str) -> str:
    """Hide the password of a URL; it may hold slashes and @, and where it must, a question mark."""
    login = _URL_LOGIN.search(url)
    if login is None:
        return url
    start = login.end()
    parameters = _PARAMETERS.search(url, start)
    end = url.rfind("@", start, len(url) if parameters is None else parameters.start())
    if end < 0:
        end = url.rfind("@", start)
    return url if end < 0 else f"{url[:start]}***{url[end:]}"


def redacted(error: BaseException | str) -> str:
    """Return an error's text without secrets, in at most `ERROR_LENGTH` characters."""
    if isinstance(error, str):
        text = printable(error)
    else:
        text = f"{printable(type(error).__name__)}: {text_of(error)}"
    return _cut(redact(text[:READ_LENGTH]), ERROR_LENGTH)


def redacted_with_causes(error: BaseException) -> str:
    """Return an error's text with what it was raised from, and with the errors in a group: ``[…]``.

    It has no secrets and at most `ERROR_LENGTH` characters, of which each error gets a share.
    """
    whole = _Causes(ERROR_LENGTH)
    text = whole.text_of(error)
    if len(text) > ERROR_LENGTH and whole.count > 1:
        share = ERROR_LENGTH // whole.count - len(" (from )")
        text = _Causes(max(LEAST_SHARE, share)).text_of(error)
    return _cut(text, ERROR_LENGTH)


class _Causes:
    """Writes an error with its causes, so many of them, with at most ``share`` characters each."""

    def __init__(self, share: int) -> None:
        self._share = share
        self._seen: set[int] = set()

    @property
    def count(self) -> int:
        """How many errors were written."""
        return len(self._seen)

    def text_of(self, error: BaseException, depth: int = 0) -> str:
        """Return the text of an error and of those behind it."""
        self._seen.add(id(error))
        text = _cut(redacted(error), self._share)
        if depth == CAUSES_DEEP:
            return text
        members, cause = _behind(error)
        inside = [self.text_of(each, depth + 1) for each in members if self._is_new(each)]
        if len(inside) < len(members):
            inside.append("…")
        if inside:
            text = f"{text} [{'; '.join(inside)}]"
        if cause is None or not self._is_new(cause) or _says(text, cause):
            return text
        return f"{text} (from {self.text_of(cause, depth + 1)})"

    def _is_new(self, error: BaseException) -> bool:
        return len(self._seen) < CAUSES and id(error) not in self._seen


def _says(text: str, cause: BaseException) -> bool:
    """Return whether a text has the type and the text of a cause already."""
    name, _, said = redacted(cause).partition(": ")
    return name in text and said in text


def _behind(error: BaseException) -> tuple[tuple[BaseException, ...], BaseException | None]:
    """Return the members of a group, and what an error was raised from."""
    try:
        if not isinstance(error, BaseExceptionGroup):
            return (), error.__cause__
        group = cast("BaseExceptionGroup[BaseException]", error)
        return tuple(group.exceptions), group.__cause__
    except Exception:  # noqa: BLE001 - a property of a user's class
        return (), None


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
