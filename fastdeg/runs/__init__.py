"""The main job, its run folder and its report."""
