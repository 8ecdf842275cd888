"""The crafting problem: from arguments to terms, objective and lower bound."""
