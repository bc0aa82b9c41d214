"""Flatness of the loss around a trained network.

Read the files in this order: `loss` (the function we study), `hessian` (its curvature), `spectrum` (eigenvalues and traces
of matrices too large to store), `landscape` (curves and surfaces), `barrier` (the way between two networks), `measures`
(numbers that can be compared between runs).
"""

from gst_tutorial.flatness.barrier import error_barrier, recalibrate
from gst_tutorial.flatness.hessian import (
    filter_normalized_operator,
    filter_normalized_sharpness,
    gradient_covariance_trace,
    hessian_eigenvalues,
    hessian_operator,
    hessian_trace,
)
from gst_tutorial.flatness.landscape import flat_radius, loss_surface, perturbation_curve, random_directions
from gst_tutorial.flatness.loss import SampleLoss
from gst_tutorial.flatness.measures import (
    ScaledLogits,
    match_loss,
    measure_curvature,
    measure_flatness,
    measure_sharpness,
)
from gst_tutorial.flatness.spectrum import hutchinson_trace, top_eigenvalues

__all__ = [
    "SampleLoss", "ScaledLogits", "error_barrier", "filter_normalized_operator", "filter_normalized_sharpness", "flat_radius",
    "gradient_covariance_trace", "hessian_eigenvalues", "hessian_operator", "hessian_trace", "hutchinson_trace",
    "loss_surface", "match_loss", "measure_curvature", "measure_flatness", "measure_sharpness", "perturbation_curve",
    "random_directions", "recalibrate", "top_eigenvalues",
]  # fmt: skip
