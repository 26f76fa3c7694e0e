"""The arithmetic of a round: from updates and the old model to the new one. It knows no AWS."""
