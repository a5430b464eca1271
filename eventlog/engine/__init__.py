"""The engine behind every face: it decides, stores and folds the commands of a log."""
