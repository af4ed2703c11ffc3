"""flawscribe tells what is wrong with AI-generated images."""
