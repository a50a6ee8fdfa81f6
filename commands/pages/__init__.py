"""Pages for people: one self-contained HTML file each, Korean and English, nothing fetched."""
