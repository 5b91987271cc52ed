"""What a sampled reply is worth: the reward functions and the judges of pictures."""
