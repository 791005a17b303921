"""The page and the table of a study: which setting to ship on each device, and what was tried for it."""
