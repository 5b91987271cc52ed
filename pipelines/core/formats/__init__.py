"""Character cards, chat logs and other formats that people bring."""
