"""What `sillok` does when a command is more than one part: settings, the process tree, the demo, the doctor."""
