"""What can be said of anyone's clips: events in sound and in pictures, and how well they agree."""
