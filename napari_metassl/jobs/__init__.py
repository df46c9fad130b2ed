"""Work that outlives the window: job folders and the processes that work on them."""
