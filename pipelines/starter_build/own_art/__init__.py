"""Original characters in styles of their own, none of the starter's: Quibb, and three sets for few-shot learning."""
