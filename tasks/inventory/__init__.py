"""The fleet's inventory, discovered from kubeconfig contexts and cloud accounts."""
