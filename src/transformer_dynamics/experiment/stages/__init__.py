"""Stages of a run, each done once for its inputs."""
