"""The arithmetic of HorizontalPodAutoscalers: how many replicas metrics ask for, and how fast to get there."""
