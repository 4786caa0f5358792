"""What is known of each training method, a file per method; its computation is in a file of `training`."""
