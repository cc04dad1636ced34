"""Pictures in bulk: parts of a frozen listing, each segmented whole by one of many workers."""
