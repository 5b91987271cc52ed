"""What a creator can do, as plain functions that take an AppContext: no Streamlit here, so tests need no browser."""
