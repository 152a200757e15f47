/* The optimizers' passes; see kernels.h. */
#ifndef CNN_KERNELS_OPTIMIZER_H
#define CNN_KERNELS_OPTIMIZER_H

#include "kernels/kernels.h"

void CNN_KERNEL(step_sgd)(int64_t n, float *weights, const float *gradient, float *momentum, double rate,
                          double mu, bool nesterov);
void CNN_KERNEL(step_rmsprop)(int64_t n, float *weights, const float *gradient, float *velocity,
                              float *momentum, float *mean, double rate, double rho, double mu,
                              double epsilon);
void CNN_KERNEL(step_adam)(int64_t n, float *weights, const float *gradient, float *momentum, float *velocity,
                           float *highest, double alpha, double beta_1, double beta_2, double epsilon);
void CNN_KERNEL(step_adagrad)(int64_t n, float *weights, const float *gradient, float *accumulator,
                              double rate, double epsilon);
void CNN_KERNEL(regularize)(int64_t n, float *gradient, const float *weights, float l1, float l2);
void CNN_KERNEL(clip)(int64_t n, float *values, float limit);
void CNN_KERNEL(decay)(int64_t n, float *values, float share);
double CNN_KERNEL(sum_squares)(int64_t n, const float *values);

#endif
