"""Many runs on one base: grids of settings and seeds, trained together, and the answer that they give."""
