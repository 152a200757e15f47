/* The hot loops, on raw pointers and sizes only.
 *
 * Every file here but dispatch.c is compiled once per instruction set (CNN_ISA: sse2, avx2, avx512, generic),
 * written once in the vector types of simd.h. CNN_KERNEL(name) gives each compilation its own symbol; table.c
 * collects them in one struct per instruction set and dispatch.c picks the struct at run time.
 *
 * Kernels are serial and work on the range they are given: splitting work over threads belongs to the callers.
 * They never allocate; scratch memory comes from the caller, 64-byte aligned, as large as *_scratch says. */
#ifndef CNN_KERNELS_H
#define CNN_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- convolution ------------------------------------------------------------------------------------- */

/* One sample's 2-D cross-correlation, channels last. Padding may differ on each side; what lies outside the
 * picture is 0. out_* = floor((in + pads - ((kernel-1)·dilation + 1)) / stride) + 1, with bottom and right padding
 * implied. in_c and out_c are totals over the groups. */
typedef struct cnn_conv {
    int in_h, in_w, in_c;
    int out_h, out_w, out_c;
    int kernel_h, kernel_w;
    int stride_h, stride_w;
    int dilation_h, dilation_w;
    int pad_top, pad_left;
    int groups;
    int whole_h; /* of a piece, some rows of another's outputs: that one's out_h; else 0 */
    int once;    /* samples that its weights are packed for, where these are all there will be; else 0 */
} cnn_conv;

/* Floating-point operations of one sample: two for each multiply-add of the definition. */
static inline double cnn_conv_flops(const cnn_conv *c) {
    return 2.0 * c->out_h * c->out_w * c->out_c * c->kernel_h * c->kernel_w * (c->in_c / c->groups);
}

/* What is done to a convolution's sums before they are written: + bias, then relu, then max pooling without
 * overlap or padding, by windows that the outputs are a whole number of. */
typedef struct cnn_conv_epilogue {
    const float *bias; /* [out_c] or NULL */
    bool relu;
    int pool_h, pool_w; /* 0 or 1: no pooling */
} cnn_conv_epilogue;

/* ---- matrix products ---------------------------------------------------------------------------------- */

/* C [rows,columns] = (add ? C : 0) + A [rows,steps] · B [steps,columns] + bias, then relu. Elements of A lie a_row and
 * a_step floats apart, one of them 1; so do those of B. C's are side by side in rows c_row apart. */
typedef struct cnn_product {
    int64_t rows, columns, steps;
    const float *a, *b;
    ptrdiff_t a_row, a_step, b_step, b_column;
    float *c;
    ptrdiff_t c_row;
    const float *bias; /* [columns] or NULL */
    bool relu, add;
} cnn_product;

/* ---- elementwise, softmax, pooling, dropout, losses --------------------------------------------------- */

/* Functions of one number; the parameter is leaky_relu's slope and elu's alpha. */
typedef enum cnn_activation_kind {
    CNN_ACTIVATION_RELU,
    CNN_ACTIVATION_LEAKY_RELU,
    CNN_ACTIVATION_ELU,
    CNN_ACTIVATION_SELU,
    CNN_ACTIVATION_SIGMOID,
    CNN_ACTIVATION_TANH,
    CNN_ACTIVATION_EXP,
    CNN_ACTIVATION_SQRT,
    CNN_ACTIVATION_RELU6,
    CNN_ACTIVATION_HARD_SIGMOID,
    CNN_ACTIVATION_SOFTSIGN,
    CNN_ACTIVATION_SOFTPLUS,
    CNN_ACTIVATION_SILU,
    CNN_ACTIVATION_GELU,
    CNN_ACTIVATION_GELU_TANH,
    CNN_ACTIVATION_SQUARE,
    CNN_ACTIVATION_LOG,
    CNN_ACTIVATION_ABS
} cnn_activation_kind;

/* Pooling of [in_h,in_w,channels] by windows that may overlap, leave gaps and stand out at the borders. */
typedef struct cnn_pool {
    int in_h, in_w, channels;
    int out_h, out_w;
    int pool_h, pool_w, stride_h, stride_w;
    int pad_top, pad_left;
} cnn_pool;

/* What a dropout draws from: Philox4x32-10 keyed by `key`, its counter's upper half `step`. Element i is dropped when
 * its word is below threshold = rate·2^32, and multiplied by scale otherwise. The word of element i, with
 * l = i mod 64, is number l / 16 of counter 16·(i / 64) + l mod 16: so laid out, vectors of any width store straight. */
typedef struct cnn_dropout_stream {
    uint64_t key, step;
    uint64_t threshold; /* 2^32: all are dropped */
    float scale;
} cnn_dropout_stream;

/* Pictures [h,w,channels] made larger by whole factors. */
typedef struct cnn_upsample {
    int h, w, channels;
    int factor_h, factor_w;
    bool bilinear; /* else the nearest cell */
} cnn_upsample;

/* Sums of neighbours: output i < count is that of used[i] inputs from first[i] on, with the weights from i·room on. */
typedef struct cnn_taps {
    int64_t count, room;
    int64_t *first;
    int32_t *used;
    float *weights;
} cnn_taps;

/* Losses of a prediction p and a target t, element by element: (p - t)², |p - t|, Huber's with delta as parameter,
 * -t·log p - (1 - t)·log(1 - p) with p clipped to [1e-7, 1 - 1e-7], and the same of the logit. */
typedef enum cnn_pointwise_loss {
    CNN_LOSS_SQUARED,
    CNN_LOSS_ABSOLUTE,
    CNN_LOSS_HUBER,
    CNN_LOSS_BINARY,
    CNN_LOSS_BINARY_LOGITS
} cnn_pointwise_loss;

struct cnn_warp; /* kernels/warp.h */

/* ---- the table --------------------------------------------------------------------------------------- */

typedef struct cnn_kernels {
    const char *isa;

    /* Weights [kernel_h,kernel_w,in_c/groups,out_c] rearranged once per step for the forward pass and for the
     * gradient to the input; the sizes are in floats. */
    size_t (*conv_packed_size)(const cnn_conv *c);
    void (*conv_pack)(const cnn_conv *c, const float *weights, float *packed);
    size_t (*conv_packed_grad_size)(const cnn_conv *c);
    void (*conv_pack_grad)(const cnn_conv *c, const float *weights, float *packed);
    /* Some shapes' sums are not made product by product (conv_way.c says which): then an infinite or not-a-number input
     * makes neighbouring outputs not a number too.
     * The scratch, in bytes, that one call of any of the three below needs. */
    size_t (*conv_scratch)(const cnn_conv *c, const cnn_conv_epilogue *epilogue);
    /* x [n,in_h,in_w,in_c] → y [n,out_h,out_w,out_c], or pooled [n,out_h/pool_h,out_w/pool_w,out_c] with, where
     * index is not NULL, one byte a pooled cell: row·pool_w + column of the maximum in its window (the first of
     * equals), or 255 where relu clipped it to 0. Without pooling there is no index. */
    void (*conv_forward)(const cnn_conv *c, int n, const float *x, const float *packed,
                         const cnn_conv_epilogue *epilogue, float *y, uint8_t *index, void *scratch);
    /* dy [n,out_h,out_w,out_c] → dx [n,in_h,in_w,in_c], overwritten. */
    void (*conv_grad_input)(const cnn_conv *c, int n, const float *dy, const float *packed_grad, float *dx,
                            void *scratch);
    /* dw [kernel_h,kernel_w,in_c/groups,out_c] += Σ over the n samples, db [out_c] += Σ dy; neither where NULL. */
    void (*conv_grad_weights)(const cnn_conv *c, int n, const float *x, const float *dy, float *dw, float *db,
                              void *scratch);
    /* For several threads at one sample. Output rows first … of the forward pass, first a multiple of rows_unit, are
     * those of a convolution with as much less padding above; so are rows of dx, with as much more, if grad_rows_apart
     * says so. The weights' gradient comes in parts, each its own share of dw; the first brings db. All bits are the
     * same as of the whole. */
    int (*conv_rows_unit)(const cnn_conv *c, const cnn_conv_epilogue *epilogue);
    bool (*conv_grad_rows_apart)(const cnn_conv *c);
    void (*conv_grad_weights_part)(const cnn_conv *c, int n, const float *x, const float *dy, float *dw,
                                   float *db, int part, int parts, void *scratch);
    /* Spreads the gradient of a pooled, activated output back: dy [n,out_h,out_w,out_c] is overwritten with
     * dpooled at each window's index and 0 elsewhere (everywhere for 255). */
    void (*conv_unpool)(const cnn_conv *c, int n, int pool_h, int pool_w, const float *dpooled,
                        const uint8_t *index, float *dy);

    /* Where the first of these says yes (first layers), the second does in one what conv_unpool and then
     * conv_grad_weights would do. */
    bool (*conv_grads_of_windows)(const cnn_conv *c, int pool_h, int pool_w);
    void (*conv_grad_windows)(const cnn_conv *c, int n, const float *x, const float *dpooled,
                              const uint8_t *index, float *dw, float *db, void *scratch);

    /* A part of a product, some rows and columns of C, is one too; its bits are those of the whole. The scratch, in
     * bytes, is enough for every part. */
    size_t (*product_scratch)(const cnn_product *p);
    void (*product)(const cnn_product *p, void *scratch);
    /* y [columns,rows] = x [rows,columns] with its axes exchanged. */
    void (*transpose)(const float *x, int64_t rows, int64_t columns, float *y);

    /* Multiply-adds in registers alone, peak_flops_per_round floating-point operations a round: what the speed of
     * the others is measured by. Returns a number that depends on them all. */
    float (*peak)(int64_t rounds);
    int peak_flops_per_round;

    /* y = f(x); y may be x. */
    void (*activate)(cnn_activation_kind kind, float parameter, const float *x, float *y, int64_t n);
    /* dx = dy·f'(x), told from z: the output y, but the input x from CNN_ACTIVATION_SOFTPLUS on. dx may be dy. */
    void (*activate_grad)(cnn_activation_kind kind, float parameter, const float *z, const float *dy,
                          float *dx, int64_t n);
    /* y = scale·x + offset; y may be x. */
    void (*affine)(float scale, float offset, const float *x, float *y, int64_t n);
    /* y [rows,columns] = x + bias [columns] (not if NULL), then relu if wanted; y may be x. */
    void (*bias_relu)(const float *bias, bool relu, const float *x, float *y, int64_t rows, int64_t columns);
    /* sums [columns] += Σ over the rows of x, which begin stride floats apart. */
    void (*sum_rows)(const float *x, int64_t rows, int64_t columns, int64_t stride, float *sums);
    /* Over each row: y = softmax(x) or its logarithm; y may be x. */
    void (*softmax)(bool logarithm, const float *x, float *y, int64_t rows, int64_t columns);
    void (*softmax_grad)(bool logarithm, const float *y, const float *dy, float *dx, int64_t rows,
                         int64_t columns);
    /* n samples. index, if not NULL, tells row·pool_w + column of the maximum in its window, in elements of index_size
     * bytes: 1 for windows of at most 256 cells, else 4. A NaN is the maximum. */
    void (*max_pool)(const cnn_pool *p, int64_t n, const float *x, float *y, void *index, int index_size);
    void (*max_pool_grad)(const cnn_pool *p, int64_t n, const float *dy, const void *index, int index_size,
                          float *dx);
    /* The mean over the part of the window that lies in the picture. */
    void (*avg_pool)(const cnn_pool *p, int64_t n, const float *x, float *y);
    void (*avg_pool_grad)(const cnn_pool *p, int64_t n, const float *dy, float *dx);
    /* Elements position … position+n-1 of the stream; kept, if not NULL, gets 1 or 0 for each. */
    void (*dropout)(const cnn_dropout_stream *stream, uint64_t position, const float *x, float *y,
                    uint8_t *kept, int64_t n);
    void (*dropout_grad)(float scale, const uint8_t *kept, const float *dy, float *dx, int64_t n);
    /* n samples, to [h·factor_h,w·factor_w,channels]; dx is overwritten. */
    void (*upsample)(const cnn_upsample *u, int64_t n, const float *x, float *y);
    void (*upsample_grad)(const cnn_upsample *u, int64_t n, const float *dy, float *dx);

    /* sums [n] = Σ weights[k]·(row k), k < count; rows lie stride elements apart. */
    void (*sum_picture_rows_u8)(const float *weights, int count, const uint8_t *rows, int64_t stride,
                                float *sums, int64_t n);
    void (*sum_picture_rows_f32)(const float *weights, int count, const float *rows, int64_t stride,
                                 float *sums, int64_t n);
    /* out [taps,channels] from the pixels of a row, beyond whose end one more float can be read. */
    void (*sum_pixels)(const cnn_taps *taps, const float *row, int64_t channels, float *out);

    /* One picture through an affine map (kernels/warp.h); of the gradient, grad_in is overwritten. All instruction sets
     * give the same bits. */
    void (*warp)(const struct cnn_warp *w, const float *in, float *out);
    void (*warp_u8)(const struct cnn_warp *w, const uint8_t *in, uint8_t *out);
    void (*warp_grad)(const struct cnn_warp *w, const float *grad_out, float *grad_in);

    /* Down the columns of x [rows,channels]: mean = Σx / rows, squares = Σ (x - mean)². */
    void (*batch_moments)(const float *x, int64_t rows, int64_t channels, double *mean, double *squares);
    /* sums = Σ dy, dots = Σ dy·(x - mean) */
    void (*batch_sums)(const float *x, const float *dy, const float *mean, int64_t rows, int64_t channels,
                       double *sums, double *dots);
    /* y = scale·(x - mean) + offset; y may be x. */
    void (*batch_normalize)(const float *x, const float *mean, const float *scale, const float *offset,
                            int64_t rows, int64_t channels, float *y);
    /* dx = scale·(dy - offset - slope·(x - mean)); dx may be dy. */
    void (*batch_normalize_grad)(const float *x, const float *dy, const float *mean, const float *scale,
                                 const float *offset, const float *slope, int64_t rows, int64_t channels,
                                 float *dx);
    /* Along the rows of x [rows,columns]: y = gamma·(x - mean) / sqrt(variance + epsilon) + beta. saved [rows,2], if
     * not NULL, gets each row's mean and 1 / sqrt(variance + epsilon). */
    void (*layer_normalize)(const float *x, const float *gamma, const float *beta, float epsilon,
                            int64_t rows, int64_t columns, float *y, float *saved);
    /* dx is overwritten; dgamma and dbeta [columns] are added to; each may be NULL. */
    void (*layer_normalize_grad)(const float *x, const float *dy, const float *gamma, const float *saved,
                                 int64_t rows, int64_t columns, float *dx, float *dgamma, float *dbeta);
    /* The sum over n elements; and the gradient times scale. */
    float (*loss_sum)(cnn_pointwise_loss kind, float parameter, const float *prediction, const float *target,
                      int64_t n);
    void (*loss_grad)(cnn_pointwise_loss kind, float parameter, const float *prediction, const float *target,
                      float scale, float *gradient, int64_t n);
    /* -Σ t·log q over one row; q is the softmax of the logits x, which is written, or x / Σx clipped to [1e-7, 1 - 1e-7].
     * In the gradient, x is that softmax, or the same x. */
    float (*crossentropy)(bool from_logits, const float *x, const float *target, float *softmax,
                          int64_t classes);
    void (*crossentropy_grad)(bool from_logits, const float *x, const float *target, float scale,
                              float *gradient, int64_t classes);

    /* Optimizer steps over n weights and their state (formulas: core/train); state that is NULL is not kept. All
     * instruction sets give the same bits. */
    void (*step_sgd)(int64_t n, float *weights, const float *gradient, float *momentum, double rate,
                     double mu, bool nesterov);
    void (*step_rmsprop)(int64_t n, float *weights, const float *gradient, float *velocity, float *momentum,
                         float *mean, double rate, double rho, double mu, double epsilon);
    void (*step_adam)(int64_t n, float *weights, const float *gradient, float *momentum, float *velocity,
                      float *highest, double alpha, double beta_1, double beta_2, double epsilon);
    void (*step_adagrad)(int64_t n, float *weights, const float *gradient, float *accumulator, double rate,
                         double epsilon);
    /* gradient += l1·sign(weights) + 2·l2·weights */
    void (*regularize)(int64_t n, float *gradient, const float *weights, float l1, float l2);
    void (*clip)(int64_t n, float *values, float limit);  /* to [-limit, limit] */
    void (*decay)(int64_t n, float *values, float share); /* values -= share·values */
    double (*sum_squares)(int64_t n, const float *values);
} cnn_kernels;

/* The table in use. */
const cnn_kernels *cnn_kernel(void);

#define CNN_KERNEL_PASTE(name, isa) name##_##isa
#define CNN_KERNEL_EXPAND(name, isa) CNN_KERNEL_PASTE(name, isa)
#define CNN_KERNEL(name) CNN_KERNEL_EXPAND(name, CNN_ISA)

#endif
