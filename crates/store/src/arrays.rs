//! Arrays on disk: numpy's `.npy` and `.npz`.
