"""The web program: pages draw (`app_pages`), actions act (`actions`), and nothing here ever loads a model."""
