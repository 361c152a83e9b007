"""The reference in docs/reference: written from the code, so that it says what the code does."""
