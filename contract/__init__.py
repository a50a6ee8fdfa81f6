"""What every process and both SDKs agree on."""
