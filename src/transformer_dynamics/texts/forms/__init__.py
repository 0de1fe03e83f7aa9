"""Forms in which texts are handed in, converted to strings, token ids and chats."""
