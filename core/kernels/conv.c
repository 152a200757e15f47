/* The forward pass and the gradient to the input: one walk over pictures, strip by strip.
 *
 * A strip is some rows of output of one sample, or some whole samples where those are small: a few hundred
 * output pixels, so that what it reads and its sums stay near. For each strip and each block of one or two
 * vectors of output channels, the pixels are cut into tiles of as equal a size as can be (13 = 7 + 6, not 12
 * + 1), which read the block's panel of weights over and over, from the L2 cache. Tiles run over ends of rows
 * and of samples, as each of their pixels has its own pointer; small pictures fill them too. Sums begin with
 * the bias. With pooling, sums go to scratch and only their maxima to y. Where sums are short, as in first layers, they do not even go to scratch:
 * a tile's rows are whole windows then.
 *
 * The gradient to the input is the same walk over dy with a border of zeros and the kernel reversed
 * (conv_pack.c), once for each phase of the strides, writing every stride-th pixel. Where that would multiply
 * too many zeros, conv_spread.c does it instead. */
#include "kernels/conv.h"
#include "kernels/conv_winograd.h"
#include "kernels/simd.h"

enum { POSITIONS = 256 }; /* outputs of a strip, about */

/* A walk with its scratch. */
typedef struct work {
    conv_walk walk;
    conv_strip strip;
    int32_t *step, *x_at, *y_at; /* for conv_tile; the last two of a whole strip */
    float *bias;                 /* of all groups, each a whole number of vectors */
    float *copy, *sums;
    bool windows; /* the tile itself pools */
    bool grey;    /* conv_grey.c's, all but the strips */
} work;

/* Longer sums do better in tiles of any number of rows. */
static bool in_windows(const conv_walk *w, int pool_h, int pool_w) {
    enum { SHORT = 64 };
    return pool_h == 2 && pool_w == 2 && !w->lanes && !w->dots && conv_steps(w) <= SHORT;
}

static int round_up(int channels) {
    return (channels + CNN_LANES - 1) / CNN_LANES * CNN_LANES;
}

static int32_t *carve_list(void *scratch, size_t *used, size_t size) {
    return (int32_t *)(void *)conv_carve(scratch, used, size);
}

/* The work on strips of a multiple of `unit` rows, and the bytes of scratch it takes. */
static size_t prepare(work *k, const conv_walk *w, int unit, bool pooled, void *scratch) {
    size_t used = 0;
    k->walk = *w;
    k->strip = conv_strip_of(w, w->lanes ? 2 * POSITIONS / w->split : POSITIONS, unit);
    size_t samples = (size_t)k->strip.samples, rows = (size_t)k->strip.rows;
    size_t positions = samples * rows * (size_t)w->out_w;
    k->step = carve_list(scratch, &used, (size_t)conv_steps(w));
    k->x_at = carve_list(scratch, &used, positions);
    k->y_at = carve_list(scratch, &used, positions);
    k->bias = conv_carve(scratch, &used, (size_t)w->groups * (size_t)round_up(w->group_out));
    k->copy = conv_carve(scratch, &used, samples * conv_view_size(w, k->strip.rows));
    k->sums = conv_carve(scratch, &used, pooled ? positions * CONV_LANES : 0);
    return used;
}

static void spread_bias(const work *k, const float *bias) {
    int out = k->walk.group_out, padded = round_up(out);
    memset(k->bias, 0, (size_t)k->walk.groups * (size_t)padded * sizeof(float));
    for (int g = 0; bias && g < k->walk.groups; g++)
        memcpy(k->bias + g * padded, bias + g * out, (size_t)out * sizeof(float));
}

/* One strip of outputs: every group, every block of channels. y and index are at the strip's first. */
static void run_strip(const work *k, conv_tile t, const float *x, int positions, const float *packed,
                      float *y, const conv_pooling *pooling, uint8_t *index) {
    const conv_walk *w = &k->walk;
    for (int g = 0; g < w->groups; g++)
        for (int block, first = 0; first < w->group_out; first += block) {
            int left = w->group_out - first, channel = g * w->group_out + first;
            block = !w->dots ? conv_block(w->lanes, left) : left >= CONV_VECTORS ? CONV_VECTORS : left;
            t.channels = block;
            t.vectors = w->dots ? block : (block + CNN_LANES - 1) / CNN_LANES;
            t.panel = packed;
            t.bias = k->bias + g * round_up(w->group_out) + first;
            t.x = x + (w->lanes ? first : g * w->group_in);
            t.y = pooling && !k->windows ? k->sums : y + channel;
            t.index = index ? index + channel : NULL;
            conv_run_rows(&t, positions);
            packed += (ptrdiff_t)(t.steps + t.tails) * t.vectors * CNN_LANES;
            if (pooling && !k->windows)
                conv_pool_block(pooling, positions / w->out_w / pooling->pool_h, w->out_w / pooling->pool_w,
                                block, k->sums, y + channel, index ? index + channel : NULL);
        }
}

/* Where the outputs of 2x2 windows read, window by window. */
static void place_windows(const work *k, const conv_view *x) {
    const conv_walk *w = &k->walk;
    int32_t *at = k->x_at;
    for (int s = 0; s < k->strip.samples; s++)
        for (int r = 0; r < k->strip.rows; r += 2)
            for (int c = 0; c < w->out_w; c += 2)
                for (int i = 0; i < 4; i++)
                    *at++ = (int32_t)(s * x->sample + (r + i / 2) * w->stride_h * x->row +
                                      (c + i % 2) * w->stride_w * x->pixel);
}

/* Where the strip's outputs read and write: the same for every strip, the last of fewer rows having the first
 * part of it. With pooling the sums lie densely in scratch. */
static void place(const work *k, const conv_view *x, const conv_output *y, bool pooling) {
    const conv_walk *w = &k->walk;
    int samples = k->strip.samples, rows = k->strip.rows;
    conv_offsets(w, x, k->step);
    conv_grid(samples, rows, w->out_w, x->sample, w->stride_h * x->row, w->stride_w * x->pixel, k->x_at);
    if (k->windows) {
        place_windows(k, x);
        conv_grid(samples, rows / 2, w->out_w / 2, y->sample, y->row, y->pixel, k->y_at);
    } else if (pooling)
        conv_grid(1, samples * rows, w->out_w, 0, w->out_w * CONV_LANES, CONV_LANES, k->y_at);
    else
        conv_grid(samples, rows, w->out_w, y->sample, y->row, y->pixel, k->y_at);
}

static void run_grey(const work *k, const conv_view *x, int samples, int rows, const float *packed, bool relu,
                     conv_output y, bool pooled, uint8_t *index) {
    const conv_walk *w = &k->walk;
    conv_grey g = {x->row, y.row, y.pixel, w->out_w / 2, pooled, relu};
    for (int s = 0; s < samples; s++)
        conv_grey_rows(&g, x->origin + s * x->sample, rows, packed, k->bias, w->group_out, y.y + s * y.sample,
                       index ? index + s * y.sample : NULL);
}

/* Every strip of n samples. relu is the pooling's where there is one, else the tile's. */
static void run_walk(const work *k, int n, const float *picture, const float *packed, bool relu,
                     conv_output y, const conv_pooling *pooling, uint8_t *index) {
    const conv_walk *w = &k->walk;
    if (!pooling && conv_slides(w)) {
        conv_slide(w, n, picture, packed, k->bias, relu, y);
        return;
    }
    conv_tile t = {.lanes = w->lanes,
                   .dots = w->dots,
                   .windows = k->windows,
                   .relu = relu && (!pooling || k->windows),
                   .step = k->step,
                   .x_at = k->x_at,
                   .y_at = k->y_at};
    t.tails = conv_tails(w, &t.tail);
    t.steps = conv_steps(w) - t.tails;
    ptrdiff_t sample = (ptrdiff_t)w->in_h * w->in_w * w->in_c;
    int pool_h = pooling ? pooling->pool_h : 1;
    for (int s = 0; s < n; s += k->strip.samples)
        for (int r = 0; r < w->out_h; r += k->strip.rows) {
            int samples = n - s < k->strip.samples ? n - s : k->strip.samples;
            int rows = w->out_h - r < k->strip.rows ? w->out_h - r : k->strip.rows;
            conv_view x = conv_view_open(w, picture + s * sample, samples, r, rows, k->copy);
            if (s == 0 && r == 0) place(k, &x, &y, pooling != NULL);
            ptrdiff_t at = s * y.sample + r / pool_h * y.row;
            conv_output to = {y.y + at, y.sample, y.row, y.pixel};
            uint8_t *to_index = index ? index + at : NULL;
            if (k->grey)
                run_grey(k, &x, samples, rows, packed, relu, to, pooling != NULL, to_index);
            else
                run_strip(k, t, x.origin, samples * rows * w->out_w, packed, to.y, pooling, to_index);
        }
}

/* ---- forward ----------------------------------------------------------------------------------------- */

conv_walk conv_forward_walk(const cnn_conv *c) {
    bool lanes = conv_in_lanes(c, c->out_c);
    int groups = lanes ? 1 : c->groups;
    return (conv_walk){
        .in_h = c->in_h,
        .in_w = c->in_w,
        .in_c = c->in_c,
        .kernel_h = c->kernel_h,
        .kernel_w = c->kernel_w,
        .stride_h = c->stride_h,
        .stride_w = c->stride_w,
        .dilation_h = c->dilation_h,
        .dilation_w = c->dilation_w,
        .top = c->pad_top,
        .left = c->pad_left,
        .out_h = c->out_h,
        .out_w = c->out_w,
        .groups = groups,
        .group_in = c->in_c / groups,
        .group_out = c->out_c / groups,
        .lanes = lanes,
        .repeat = lanes ? c->out_c / c->groups : 1,
        .split = lanes ? c->in_c / c->groups : 1,
    };
}

static int at_least_1(int size) {
    return size > 1 ? size : 1;
}

static size_t prepare_forward(work *k, const cnn_conv *c, int pool_h, int pool_w, void *scratch) {
    conv_walk w = conv_forward_walk(c);
    w.dots = conv_forward_dots(c);
    k->grey = conv_is_grey(&w, pool_h, pool_w);
    k->windows = in_windows(&w, pool_h, pool_w) && !k->grey;
    bool sums = (pool_h > 1 || pool_w > 1) && !k->windows && !k->grey;
    return prepare(k, &w, k->grey ? 2 : pool_h, sums, scratch);
}

void CNN_KERNEL(conv_forward)(const cnn_conv *c, int n, const float *x, const float *packed,
                              const cnn_conv_epilogue *epilogue, float *y, uint8_t *index, void *scratch) {
    static const cnn_conv_epilogue none;
    const cnn_conv_epilogue *e = epilogue ? epilogue : &none;
    if (conv_way_forward(c) == CONV_WINOGRAD) {
        conv_winograd_forward(c, n, x, packed, e, y, index, scratch);
        return;
    }
    int pool_h = at_least_1(e->pool_h), pool_w = at_least_1(e->pool_w);
    work k;
    prepare_forward(&k, c, pool_h, pool_w, scratch);
    spread_bias(&k, e->bias);
    ptrdiff_t row = (ptrdiff_t)(k.walk.out_w / pool_w) * c->out_c;
    conv_pooling p = {pool_h, pool_w, k.walk.out_w, c->out_c, row, e->relu};
    conv_output to = {y, k.walk.out_h / pool_h * row, row, c->out_c};
    bool pooled = pool_h > 1 || pool_w > 1;
    run_walk(&k, n, x, packed, e->relu, to, pooled ? &p : NULL, pooled ? index : NULL);
}

/* ---- gradient to the input --------------------------------------------------------------------------- */

static conv_walk grad_walk(const cnn_conv *c, const conv_phase *h, const conv_phase *w) {
    bool lanes = conv_in_lanes(c, c->in_c);
    int groups = lanes ? 1 : c->groups;
    return (conv_walk){
        .in_h = c->out_h,
        .in_w = c->out_w,
        .in_c = c->out_c,
        .kernel_h = h->taps,
        .kernel_w = w->taps,
        .stride_h = 1,
        .stride_w = 1,
        .dilation_h = h->dilation,
        .dilation_w = w->dilation,
        .top = h->pad,
        .left = w->pad,
        .out_h = h->count,
        .out_w = w->count,
        .groups = groups,
        .group_in = c->out_c / groups,
        .group_out = c->in_c / groups,
        .lanes = lanes,
        .dots = conv_phase_dots(c, h, w),
        .repeat = lanes ? c->in_c / c->groups : 1,
        .split = lanes ? c->out_c / c->groups : 1,
    };
}

static void zero_phase(const conv_walk *w, int channels, int n, conv_output y) {
    for (int s = 0; s < n; s++)
        for (int r = 0; r < w->out_h; r++)
            for (int c = 0; c < w->out_w; c++)
                memset(y.y + s * y.sample + r * y.row + c * y.pixel, 0, (size_t)channels * sizeof(float));
}

static void phase_of(const cnn_conv *c, int phase, conv_phase *h, conv_phase *w) {
    *h = conv_phase_of(phase / c->stride_w, c->in_h, c->kernel_h, c->stride_h, c->dilation_h, c->pad_top);
    *w = conv_phase_of(phase % c->stride_w, c->in_w, c->kernel_w, c->stride_w, c->dilation_w, c->pad_left);
}

void CNN_KERNEL(conv_grad_input)(const cnn_conv *c, int n, const float *dy, const float *packed_grad,
                                 float *dx, void *scratch) {
    conv_way way = conv_way_input(c);
    if (way == CONV_SPREAD) conv_spread(c, n, dy, packed_grad, dx, scratch);
    if (way == CONV_WINOGRAD) conv_winograd_grad_input(c, n, dy, packed_grad, dx, scratch);
    if (way != CONV_WALK) return;
    ptrdiff_t row = (ptrdiff_t)c->in_w * c->in_c;
    for (int i = 0; i < c->stride_h * c->stride_w; i++) {
        conv_phase h, w;
        phase_of(c, i, &h, &w);
        if (h.count > 0 && w.count > 0) {
            work k = {.walk = grad_walk(c, &h, &w)};
            conv_output to = {dx + h.first * row + (ptrdiff_t)w.first * c->in_c, c->in_h * row,
                              c->stride_h * row, (ptrdiff_t)c->stride_w * c->in_c};
            if (h.taps == 0 || w.taps == 0) {
                zero_phase(&k.walk, c->in_c, n, to);
            } else {
                prepare(&k, &k.walk, 1, false, scratch);
                spread_bias(&k, NULL);
                run_walk(&k, n, dy, packed_grad, false, to, NULL, NULL);
            }
        }
        packed_grad += conv_phase_size(c, &h, &w);
    }
}

/* Windows of pooling stay whole, and Winograd's tiles. */
int CNN_KERNEL(conv_rows_unit)(const cnn_conv *c, const cnn_conv_epilogue *epilogue) {
    int pool = epilogue ? at_least_1(epilogue->pool_h) : 1, unit = pool;
    if (conv_way_forward(c) == CONV_WINOGRAD)
        while (unit % WINOGRAD_OUT) unit += pool;
    return unit;
}

bool CNN_KERNEL(conv_grad_rows_apart)(const cnn_conv *c) {
    return conv_way_input(c) == CONV_WALK;
}

/* ---- scratch ----------------------------------------------------------------------------------------- */

size_t CNN_KERNEL(conv_scratch)(const cnn_conv *c, const cnn_conv_epilogue *epilogue) {
    work k;
    int pool_h = epilogue ? at_least_1(epilogue->pool_h) : 1,
        pool_w = epilogue ? at_least_1(epilogue->pool_w) : 1;
    size_t most = conv_weights_scratch(c), bytes = prepare_forward(&k, c, pool_h, pool_w, NULL);
    if (bytes > most) most = bytes;
    bytes = conv_spread_scratch(c);
    if (bytes > most) most = bytes;
    bytes = CNN_KERNEL(conv_grads_of_windows)(c, pool_h, pool_w) ? conv_windows_scratch(c) : 0;
    if (bytes > most) most = bytes;
    if (conv_way_forward(c) == CONV_WINOGRAD || conv_way_input(c) == CONV_WINOGRAD) {
        bytes = conv_winograd_scratch(c, epilogue);
        if (bytes > most) most = bytes;
    }
    for (int i = 0; i < c->stride_h * c->stride_w; i++) {
        conv_phase h, w;
        phase_of(c, i, &h, &w);
        if (h.count <= 0 || w.count <= 0 || h.taps == 0 || w.taps == 0) continue;
        conv_walk walk = grad_walk(c, &h, &w);
        bytes = prepare(&k, &walk, 1, false, NULL);
        if (bytes > most) most = bytes;
    }
    return most;
}
