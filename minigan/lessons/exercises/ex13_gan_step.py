"""Exercise 13: a whole step of a GAN, on the engine.

G and D are minigan networks: forward(X) gives Y; backward(dY) fills the network's own
gradients and returns dX. Each optimizer's step() moves its network against its gradients.

    D's loss   mean of BCE(D(real), 1)  +  mean of BCE(D(fake), 0)
    G's loss   mean of BCE(D(G(z)), 1)                    (the non-saturating game)

with BCE on logits. D learns first; then G learns from D as it is after that.
Replace each `...`, then grade it:  minigan ninja check FOLDER ex13
Stuck?  docs/gan/game.md and docs/gan/step.md
"""

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def step(G, D, G_optimizer, D_optimizer, real, z_for_D, z_for_G):
    B = len(real)  # real (B, features), z (B, dim)

    fake = G.forward(z_for_D)  # (B, features)
    logits = D.forward(np.concatenate([real, fake]))  # (2 B, 1): B real ones, B fake ones
    dlogits = ...  # (2 B, 1), of D's loss
    D.backward(dlogits)
    D_optimizer.step()

    fake = G.forward(z_for_G)  # (B, features)
    logits = D.forward(fake)  # (B, 1)
    dlogits = ...  # (B, 1), of G's loss
    dfake = ...  # (B, features): D's gradient for G's samples
    G.backward(dfake)
    G_optimizer.step()
