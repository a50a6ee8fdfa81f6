"""Pages for people: one self-contained HTML file each, Korean and English, no script, nothing fetched."""
