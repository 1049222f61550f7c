"""What pages show, read straight from the tables: each question by an index, each answer no longer than a page."""
