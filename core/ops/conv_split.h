/* One convolution on several threads.
 *
 * A batch is cut into lanes (op.h), and a lane is one thread's. Where a small batch makes but one lane, these functions
 * cut each convolution instead: the forward pass and the gradient to the input by samples and rows of pictures, the
 * gradient to the weights by its own rows. No sum is cut: however many pieces there are, all bits are those of the whole. Within a lane of several they simply call the kernel. */
#ifndef CNN_OPS_CONV_SPLIT_H
#define CNN_OPS_CONV_SPLIT_H

#include "kernels/kernels.h"

/* The scratch that calls with up to `batch` samples need; -1: not known, and the calls will not be cut. */
size_t cnn_conv_scratch(const cnn_conv *c, const cnn_conv_epilogue *e, int64_t batch);

/* As the kernels of these names. */
void cnn_conv_forward(const cnn_conv *c, int64_t n, const float *x, const float *packed,
                      const cnn_conv_epilogue *e, float *y, uint8_t *index, void *scratch);
void cnn_conv_grad_input(const cnn_conv *c, int64_t n, const float *dy, const float *packed_grad, float *dx,
                         void *scratch);
void cnn_conv_grad_weights(const cnn_conv *c, int64_t n, const float *x, const float *dy, float *dw,
                           float *db, void *scratch);

#endif
