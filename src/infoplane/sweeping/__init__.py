"""Many runs at once: a grid of settings, the folder that holds its runs, and engines that execute them."""
