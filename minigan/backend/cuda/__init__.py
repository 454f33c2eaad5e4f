"""The GPU twin of the NumPy backend: the same vocabulary in CUDA kernels, launched through CuPy.

Each function checks how its arrays lie in memory and launches a kernel or two. Nothing waits for
the GPU except `to_host`: a launch only puts the kernel into the queue of the current CUDA stream.
Four things differ from the CPU:

* A launch costs the host five to ten microseconds, as much as a small kernel takes to run. So
  `capture` records a step as a CUDA graph, which is launched as a whole.
* CuPy allows neither cuBLAS nor cuRAND in a recording, so matrix products and random numbers are
  kernels of our own.
* Some kernels of a recorded step are fused before it becomes a graph.
* A recording freezes what is passed by value. So a replayed step keeps the positions of its random
  streams on the GPU.

kernels/ holds the CUDA sources. In Python: sources.py (a kernel's declaration), launching.py
(launches, done at once or recorded), layout.py (strides), elementwise.py; a file for each subject
(memory, algebra, activations, images, convolution, normalisation, losses, penalties, optimizers,
fills); pixels.py (rows of features as rows of pixels); capture.py and fusion.py; errors.py.
backend.py collects the vocabulary.

Only errors.py, sources.py and layout.py can be imported without CuPy. docs/gpu.md has more.
"""
