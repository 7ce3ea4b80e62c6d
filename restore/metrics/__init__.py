"""How near a picture is to the truth."""
