"""What everything else stands on: the pair of streams, clips, geometry, conditions, models as folders, files written whole."""
