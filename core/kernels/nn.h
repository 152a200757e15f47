/* The kernels beside convolution, of this compilation's instruction set; see kernels.h for what each does. */
#ifndef CNN_KERNELS_NN_H
#define CNN_KERNELS_NN_H

#include "kernels/kernels.h"

size_t CNN_KERNEL(product_scratch)(const cnn_product *p);
void CNN_KERNEL(product)(const cnn_product *p, void *scratch);
void CNN_KERNEL(transpose)(const float *x, int64_t rows, int64_t columns, float *y);
/* Not in the table: to[s·to_step + l] = from[l·apart + s] for s < steps and `lanes` lanes l of a vector; its others
 * become 0. */
void CNN_KERNEL(transpose_lanes)(const float *from, ptrdiff_t apart, int lanes, ptrdiff_t steps, float *to,
                                 ptrdiff_t to_step);
void CNN_KERNEL(activate)(cnn_activation_kind kind, float parameter, const float *x, float *y, int64_t n);
void CNN_KERNEL(activate_grad)(cnn_activation_kind kind, float parameter, const float *z, const float *dy,
                               float *dx, int64_t n);
void CNN_KERNEL(affine)(float scale, float offset, const float *x, float *y, int64_t n);
void CNN_KERNEL(bias_relu)(const float *bias, bool relu, const float *x, float *y, int64_t rows,
                           int64_t columns);
void CNN_KERNEL(sum_rows)(const float *x, int64_t rows, int64_t columns, int64_t stride, float *sums);
void CNN_KERNEL(softmax)(bool logarithm, const float *x, float *y, int64_t rows, int64_t columns);
void CNN_KERNEL(softmax_grad)(bool logarithm, const float *y, const float *dy, float *dx, int64_t rows,
                              int64_t columns);
void CNN_KERNEL(max_pool)(const cnn_pool *p, int64_t n, const float *x, float *y, void *index,
                          int index_size);
void CNN_KERNEL(max_pool_grad)(const cnn_pool *p, int64_t n, const float *dy, const void *index,
                               int index_size, float *dx);
void CNN_KERNEL(avg_pool)(const cnn_pool *p, int64_t n, const float *x, float *y);
void CNN_KERNEL(avg_pool_grad)(const cnn_pool *p, int64_t n, const float *dy, float *dx);
void CNN_KERNEL(dropout)(const cnn_dropout_stream *stream, uint64_t position, const float *x, float *y,
                         uint8_t *kept, int64_t n);
void CNN_KERNEL(dropout_grad)(float scale, const uint8_t *kept, const float *dy, float *dx, int64_t n);
void CNN_KERNEL(upsample)(const cnn_upsample *u, int64_t n, const float *x, float *y);
void CNN_KERNEL(upsample_grad)(const cnn_upsample *u, int64_t n, const float *dy, float *dx);
void CNN_KERNEL(sum_picture_rows_u8)(const float *weights, int count, const uint8_t *rows, int64_t stride,
                                     float *sums, int64_t n);
void CNN_KERNEL(sum_picture_rows_f32)(const float *weights, int count, const float *rows, int64_t stride,
                                      float *sums, int64_t n);
void CNN_KERNEL(sum_pixels)(const cnn_taps *taps, const float *row, int64_t channels, float *out);
void CNN_KERNEL(warp)(const struct cnn_warp *w, const float *in, float *out);
void CNN_KERNEL(warp_u8)(const struct cnn_warp *w, const uint8_t *in, uint8_t *out);
void CNN_KERNEL(warp_grad)(const struct cnn_warp *w, const float *grad_out, float *grad_in);
void CNN_KERNEL(batch_moments)(const float *x, int64_t rows, int64_t channels, double *mean, double *squares);
void CNN_KERNEL(batch_sums)(const float *x, const float *dy, const float *mean, int64_t rows,
                            int64_t channels, double *sums, double *dots);
void CNN_KERNEL(batch_normalize)(const float *x, const float *mean, const float *scale, const float *offset,
                                 int64_t rows, int64_t channels, float *y);
void CNN_KERNEL(batch_normalize_grad)(const float *x, const float *dy, const float *mean, const float *scale,
                                      const float *offset, const float *slope, int64_t rows, int64_t channels,
                                      float *dx);
void CNN_KERNEL(layer_normalize)(const float *x, const float *gamma, const float *beta, float epsilon,
                                 int64_t rows, int64_t columns, float *y, float *saved);
void CNN_KERNEL(layer_normalize_grad)(const float *x, const float *dy, const float *gamma, const float *saved,
                                      int64_t rows, int64_t columns, float *dx, float *dgamma, float *dbeta);
float CNN_KERNEL(loss_sum)(cnn_pointwise_loss kind, float parameter, const float *prediction,
                           const float *target, int64_t n);
void CNN_KERNEL(loss_grad)(cnn_pointwise_loss kind, float parameter, const float *prediction,
                           const float *target, float scale, float *gradient, int64_t n);
float CNN_KERNEL(crossentropy)(bool from_logits, const float *x, const float *target, float *softmax,
                               int64_t classes);
void CNN_KERNEL(crossentropy_grad)(bool from_logits, const float *x, const float *target, float scale,
                                   float *gradient, int64_t classes);

#endif
