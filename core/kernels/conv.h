/* Convolution kernels; see kernels.h for what each does.
 *
 * conv.c walks pictures for the forward pass and the gradient to the input, conv_spread.c is another way to
 * the latter, conv_weights.c goes to the gradient to the weights; first layers have shorter ways (conv_grey.c and
 * conv_weights_windows.c); conv_winograd.c and conv_winograd_weights.c
 * do all three for 3×3 kernels with fewer multiplications, and conv_way.c says which shape goes which way. All
 * hand the arithmetic to the one register tile of conv_tile.c, and padding to conv_view.c; but depthwise
 * convolution mostly goes its own way (conv_depthwise.c). conv_pack.c lays the weights out as the tile reads them;
 * conv_pool.c is max pooling, forth and back. */
#ifndef CNN_KERNELS_CONV_H
#define CNN_KERNELS_CONV_H

#include "kernels/kernels.h"
#include "kernels/simd.h"

size_t CNN_KERNEL(conv_packed_size)(const cnn_conv *c);
void CNN_KERNEL(conv_pack)(const cnn_conv *c, const float *weights, float *packed);
size_t CNN_KERNEL(conv_packed_grad_size)(const cnn_conv *c);
void CNN_KERNEL(conv_pack_grad)(const cnn_conv *c, const float *weights, float *packed);
size_t CNN_KERNEL(conv_scratch)(const cnn_conv *c, const cnn_conv_epilogue *epilogue);
void CNN_KERNEL(conv_forward)(const cnn_conv *c, int n, const float *x, const float *packed,
                              const cnn_conv_epilogue *epilogue, float *y, uint8_t *index, void *scratch);
void CNN_KERNEL(conv_grad_input)(const cnn_conv *c, int n, const float *dy, const float *packed_grad,
                                 float *dx, void *scratch);
void CNN_KERNEL(conv_grad_weights)(const cnn_conv *c, int n, const float *x, const float *dy, float *dw,
                                   float *db, void *scratch);
int CNN_KERNEL(conv_rows_unit)(const cnn_conv *c, const cnn_conv_epilogue *epilogue);
bool CNN_KERNEL(conv_grad_rows_apart)(const cnn_conv *c);
void CNN_KERNEL(conv_grad_weights_part)(const cnn_conv *c, int n, const float *x, const float *dy, float *dw,
                                        float *db, int part, int parts, void *scratch);
void CNN_KERNEL(conv_unpool)(const cnn_conv *c, int n, int pool_h, int pool_w, const float *dpooled,
                             const uint8_t *index, float *dy);

bool CNN_KERNEL(conv_grads_of_windows)(const cnn_conv *c, int pool_h, int pool_w);
void CNN_KERNEL(conv_grad_windows)(const cnn_conv *c, int n, const float *x, const float *dpooled,
                                   const uint8_t *index, float *dw, float *db, void *scratch);

/* ---- between the files of the convolution -------------------------------------------------------------- */

/* Their names in the instruction set being compiled. */
#define conv_run_rows CNN_KERNEL(conv_run_rows)
#define conv_block CNN_KERNEL(conv_block)
#define conv_forward_walk CNN_KERNEL(conv_forward_walk)
#define conv_view_size CNN_KERNEL(conv_view_size)
#define conv_view_open CNN_KERNEL(conv_view_open)
#define conv_steps CNN_KERNEL(conv_steps)
#define conv_offsets CNN_KERNEL(conv_offsets)
#define conv_tails CNN_KERNEL(conv_tails)
#define conv_phase_size CNN_KERNEL(conv_phase_size)
#define conv_grid CNN_KERNEL(conv_grid)
#define conv_strip_of CNN_KERNEL(conv_strip_of)
#define conv_pool_block CNN_KERNEL(conv_pool_block)
#define conv_weights_scratch CNN_KERNEL(conv_weights_scratch)
#define conv_way_forward CNN_KERNEL(conv_way_forward)
#define conv_way_input CNN_KERNEL(conv_way_input)
#define conv_way_weights CNN_KERNEL(conv_way_weights)
#define conv_pack_spread CNN_KERNEL(conv_pack_spread)
#define conv_spread_scratch CNN_KERNEL(conv_spread_scratch)
#define conv_spread CNN_KERNEL(conv_spread)
#define conv_scatters CNN_KERNEL(conv_scatters)
#define conv_pack_tap CNN_KERNEL(conv_pack_tap)
#define conv_phase_of CNN_KERNEL(conv_phase_of)
#define conv_winograd_packed_size CNN_KERNEL(conv_winograd_packed_size)
#define conv_winograd_pack CNN_KERNEL(conv_winograd_pack)
#define conv_winograd_pack_grad CNN_KERNEL(conv_winograd_pack_grad)
#define conv_winograd_scratch CNN_KERNEL(conv_winograd_scratch)
#define conv_winograd_weights_scratch CNN_KERNEL(conv_winograd_weights_scratch)
#define conv_winograd_grad_weights CNN_KERNEL(conv_winograd_grad_weights)
#define conv_winograd_forward CNN_KERNEL(conv_winograd_forward)
#define conv_winograd_grad_input CNN_KERNEL(conv_winograd_grad_input)
#define conv_windows_scratch CNN_KERNEL(conv_windows_scratch)
#define conv_is_grey CNN_KERNEL(conv_is_grey)
#define conv_grey_rows CNN_KERNEL(conv_grey_rows)
#define conv_slides CNN_KERNEL(conv_slides)
#define conv_slide CNN_KERNEL(conv_slide)
#define conv_slide_weights CNN_KERNEL(conv_slide_weights)

/* The tile's most rows: with two vectors of sums each they fill the register file but for two vectors of the
 * panel and one of x. */
#if defined(__SANITIZE_ADDRESS__)
#define CONV_ROWS 4 /* with a check at every access, more cases take minutes to compile */
#elif defined(__AVX512F__) || defined(__aarch64__)
#define CONV_ROWS 12
#else
#define CONV_ROWS 6
#endif
#define CONV_VECTORS 2
#define CONV_LANES (CONV_VECTORS * CNN_LANES) /* CNN_LANES: simd.h's */

/* For each row r and channel l, y[y_at[r] + l] becomes
 *   (add ? y[y_at[r] + l] : 0) + bias[l] + Σ_s x[x_at[r] + step[s]] · panel[s][l], then relu;
 * where lanes is set, x[x_at[r] + step[s] + l] is read instead. Where dots is set, a channel is a whole vector
 * of the panel, and the dot product with as many floats of x is added; after the steps come `tails` more that
 * read `tail` floats only. add does not go with dots. Where pixel is set, the panel has
 * but one number a step, so many floats apart, for all lanes of x, which is read as with lanes. Where windows is set,
 * each four rows are a 2x2 window: their maximum goes to y, its place to index if there is one, at y_at[r / 4]. */
typedef struct conv_tile {
    int rows;     /* 1 … CONV_ROWS */
    int vectors;  /* 1 … CONV_VECTORS */
    int channels; /* l < channels ≤ vectors·CNN_LANES is read of x (lanes) and written to y */
    int steps;    /* s < steps */
    bool lanes, dots, windows, relu, add;
    bool ahead; /* of two vectors, the panel comes from afar, and what follows it is wanted next */
    int tails, tail;
    int pixel;
    const int32_t *step;        /* [steps + tails], in floats */
    const int32_t *x_at, *y_at; /* [rows], in floats */
    const float *panel;         /* [steps + tails, vectors·CNN_LANES] */
    const float *bias;          /* [vectors·CNN_LANES] */
    const float *x;
    float *y;
    uint8_t *index;
} conv_tile;

/* Does this for `rows` rows, any number of them, in tiles of as equal a size as can be. Only t->rows is changed. */
void conv_run_rows(conv_tile *t, int rows);

/* Output channels are worked on in blocks of one or two vectors; this many are in the block that begins when
 * `left` channels are left. In lanes mode a partial vector is a block of its own. */
int conv_block(bool lanes, int left);

/* A correlation over one picture as all three passes see it (the gradient to the input is one too, over dy,
 * or one for each phase of the strides). */
typedef struct conv_walk {
    int in_h, in_w, in_c; /* the picture */
    int kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w;
    int top, left;    /* zeros before the picture; negative: how much of it is skipped */
    int out_h, out_w; /* positions to compute */
    int groups;
    int group_in, group_out; /* channels of one group */
    bool lanes;              /* output channel l reads channel l alone, of each of the view's planes */
    bool dots;               /* few output channels: conv_dots says so */
    int repeat;              /* with lanes: how many output channels share their input channels, */
    int split; /* and how many these are: the picture's channels [groups, split] are [split, groups, repeat] in the view */
} conv_walk;

/* The picture, or its zero-bordered copy: the element of sample s, row r, column c of the (padded) picture is
 * at origin + s·sample + r·row + c·pixel, in floats. */
typedef struct conv_view {
    const float *origin;
    ptrdiff_t sample, row, pixel;
} conv_view;

/* The walk of the forward pass, which the gradient to the weights shares. */
conv_walk conv_forward_walk(const cnn_conv *c);
/* Floats that the copy of `rows` output rows of one sample takes; 0 where the picture itself serves. */
size_t conv_view_size(const conv_walk *w, int rows);
/* The view of output rows first … first+rows-1 of `samples` samples; its row 0 is `first`'s first. */
conv_view conv_view_open(const conv_walk *w, const float *picture, int samples, int first, int rows,
                         float *copy);
/* Whether outputs of this kernel are better made as dot products: where output channels would leave most of a vector
 * empty, but the input channels of a row of taps, which follow each other in memory, fill one. The measure is the
 * multiply-adds, more by half as each loads its x, and an output's sum across its lanes. */
static inline bool conv_dots(int taps_h, int taps_w, int dilation_w, int in, int out) {
    enum { ACROSS = 2 };
    if (taps_w > 1 && dilation_w > 1) return false;
    int64_t run = ((int64_t)taps_w * in + CNN_LANES - 1) / CNN_LANES;
    int64_t blocks = (out + CNN_LANES - 1) / CNN_LANES;
    return 3 * out * (taps_h * run + ACROSS) < 2 * blocks * taps_h * taps_w * in;
}

static inline bool conv_forward_dots(const cnn_conv *c) {
    return c->groups == 1 && conv_dots(c->kernel_h, c->kernel_w, c->dilation_w, c->in_c, c->out_c);
}

/* How many reads make one output, and where each lies relative to the first: with dots, whole vectors and then tails. */
int conv_steps(const conv_walk *w);
void conv_offsets(const conv_walk *w, const conv_view *view, int32_t *offset);
/* Of them, how many are tails, and of how many floats. */
int conv_tails(const conv_walk *w, int *tail);
/* Where each of the pixels of a grid lies, in floats: [samples, rows, columns]. */
void conv_grid(int samples, int rows, int columns, ptrdiff_t sample, ptrdiff_t row, ptrdiff_t column,
               int32_t *at);

/* How much of the work is done at a time: `samples` whole samples, or of one sample `rows` output rows. */
typedef struct conv_strip {
    int samples, rows;
} conv_strip;
conv_strip conv_strip_of(const conv_walk *w, int positions, int unit);

/* A place for outputs: that of sample s, row r, column c is at y + s·sample + r·row + c·pixel. */
typedef struct conv_output {
    float *y;
    ptrdiff_t sample, row, pixel;
} conv_output;

/* Max pooling over one block of channels: of sums that lie CONV_LANES apart in rows of out_w, → y and index, pixels
 * out_c apart in rows y_row apart. */
typedef struct conv_pooling {
    int pool_h, pool_w, out_w, out_c;
    ptrdiff_t y_row;
    bool relu;
} conv_pooling;
void conv_pool_block(const conv_pooling *p, int rows, int columns, int channels, const float *sums, float *y,
                     uint8_t *index);

/* The forward pass over pictures of one channel, where conv_is_grey says so: an even number of rows of outputs, in
 * squares, whose maxima are written if they are pooled. bias is of whole vectors. */
typedef struct conv_grey {
    ptrdiff_t row;          /* of the picture, in floats */
    ptrdiff_t y_row, pixel; /* of what is written */
    int squares;            /* in a row */
    bool pooled, relu;
} conv_grey;
bool conv_is_grey(const conv_walk *w, int pool_h, int pool_w);
void conv_grey_rows(const conv_grey *g, const float *x, int rows, const float *packed, const float *bias,
                    int out_c, float *y, uint8_t *index);

/* The gradient to the weights needs this much scratch, in bytes. */
size_t conv_weights_scratch(const cnn_conv *c);

/* And conv_grad_windows this. */
size_t conv_windows_scratch(const cnn_conv *c);

/* The way that a shape takes through a pass. */
typedef enum conv_way { CONV_WALK, CONV_SPREAD, CONV_WINOGRAD } conv_way;
conv_way conv_way_forward(const cnn_conv *c);
conv_way conv_way_input(const cnn_conv *c);
conv_way conv_way_weights(const cnn_conv *c);

/* The gradient to the input by spreading. */
void conv_pack_spread(const cnn_conv *c, const float *weights, float *packed);
size_t conv_spread_scratch(const cnn_conv *c);
void conv_spread(const cnn_conv *c, int n, const float *dy, const float *packed, float *dx, void *scratch);
/* Whether conv_spread scatters, which then is the best way. */
bool conv_scatters(const cnn_conv *c);

/* Winograd's way through the passes, for kernels of 3×3 without strides, dilation and groups. */
size_t conv_winograd_packed_size(int steps, int out);
void conv_winograd_pack(const cnn_conv *c, const float *weights, float *packed);
void conv_winograd_pack_grad(const cnn_conv *c, const float *weights, float *packed);
size_t conv_winograd_scratch(const cnn_conv *c, const cnn_conv_epilogue *e);
void conv_winograd_forward(const cnn_conv *c, int n, const float *x, const float *packed,
                           const cnn_conv_epilogue *e, float *y, uint8_t *index, void *scratch);
void conv_winograd_grad_input(const cnn_conv *c, int n, const float *dy, const float *packed, float *dx,
                              void *scratch);
size_t conv_winograd_weights_scratch(const cnn_conv *c);
void conv_winograd_grad_weights(const cnn_conv *c, int n, const float *x, const float *dy, float *dw,
                                int part, int parts, void *scratch);
/* Depthwise convolution where it has a kernel of its own: a walk in lanes, and the gradient to its weights.
 * bias is of whole vectors. */
bool conv_slides(const conv_walk *w);
void conv_slide(const conv_walk *w, int n, const float *picture, const float *packed, const float *bias,
                bool relu, conv_output y);
void conv_slide_weights(const conv_walk *w, int n, const float *x, const float *dy, float *dw, int part,
                        int parts);

/* The panel of one tap, weights [in_c/groups, out_c], with rows and columns exchanged: input channels first …
 * first+block-1 are the lanes, output channels first_step … first_step+steps-1 the steps. Returns packed's
 * end. */
float *conv_pack_tap(const float *tap, int out_c, int first, int block, int first_step, int steps,
                     float *packed);

/* The phases of a strided gradient along one axis: positions first, first + stride, … (count of them) of dx
 * are a stride-1 correlation of dy with the kernel's taps tap, tap + step, … (taps of them), the last tap
 * first. */
typedef struct conv_phase {
    int first, count;
    int tap, step, taps;
    int dilation, pad;
} conv_phase;
conv_phase conv_phase_of(int phase, int in, int kernel, int stride, int dilation, int pad);
/* Whether such a phase is done by dots, and the floats that its packed weights take. */
static inline bool conv_phase_dots(const cnn_conv *c, const conv_phase *h, const conv_phase *w) {
    return c->groups == 1 && conv_dots(h->taps, w->taps, w->dilation, c->out_c, c->in_c);
}
size_t conv_phase_size(const cnn_conv *c, const conv_phase *h, const conv_phase *w);

/* Whether the lanes are `out` output channels of all groups, each reading an input channel of its own group, as of
 * depthwise convolution: where else each group by itself would leave half of the lanes empty or more. */
static inline bool conv_in_lanes(const cnn_conv *c, int out) {
    int together = (out + CNN_LANES - 1) / CNN_LANES, apart = (out / c->groups + CNN_LANES - 1) / CNN_LANES;
    return c->groups > 1 && (c->groups == c->in_c || 2 * together <= c->groups * apart);
}

/* Carves 64-byte aligned arrays of floats out of scratch; with scratch NULL only adds sizes up. */
static inline float *conv_carve(char *scratch, size_t *used, size_t floats) {
    float *p = scratch ? (float *)(void *)(scratch + *used) : NULL;
    *used += (floats * sizeof(float) + 63) / 64 * 64;
    return p;
}

#endif
