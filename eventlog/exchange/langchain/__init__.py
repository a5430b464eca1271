"""Messages of LangChain, as dictionaries of its three forms."""
