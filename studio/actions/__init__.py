"""What a creator can do, as plain functions that take a Desk: no Streamlit here, so tests need no browser."""
