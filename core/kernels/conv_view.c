/* What a correlation reads: the picture itself, or a copy of the strip of it in hand, with zeros around.
 *
 * Padding is never a case of its own in the hot loop: where there is any, the rows that a strip of output
 * rows reads are copied to scratch with their border of zeros, and every tile is then a 'valid' one. The copy
 * is of a strip, not of the picture, so that it stays in the nearest caches; rows shared by two strips are
 * copied twice, which costs little beside the arithmetic. Where there is no padding the picture serves as it
 * is. Where the lanes are the output channels of many small groups (of one channel each: depthwise convolution), the copy
 * has the input channels in planes, each group's first, then each group's second, … (split), and a channel once for each
 * output of its group (repeat): lane l of every plane is then what output l reads. */
#include "kernels/conv.h"
#include "kernels/simd.h"

/* Rows, or columns, that `outputs` neighbours read. */
static int extent(int outputs, int stride, int kernel, int dilation) {
    return (outputs - 1) * stride + (kernel - 1) * dilation + 1;
}

static bool inside(int before, int reach, int size) {
    return before <= 0 && reach - before <= size;
}

static bool needs_copy(const conv_walk *w) {
    return w->repeat > 1 || w->split > 1 ||
           !inside(w->top, extent(w->out_h, w->stride_h, w->kernel_h, w->dilation_h), w->in_h) ||
           !inside(w->left, extent(w->out_w, w->stride_w, w->kernel_w, w->dilation_w), w->in_w);
}

size_t conv_view_size(const conv_walk *w, int rows) {
    if (!needs_copy(w)) return 0;
    return (size_t)extent(rows, w->stride_h, w->kernel_h, w->dilation_h) *
           (size_t)extent(w->out_w, w->stride_w, w->kernel_w, w->dilation_w) * (size_t)w->in_c *
           (size_t)w->repeat;
}

/* Where whole groups fill a vector, and as many output channels share a group as input channels: plane s has channel s of
 * each group in all lanes of the group. */
static void permute_pixels(const conv_walk *w, const float *from, int count, float *to) {
    vi first;
    for (int l = 0; l < CNN_LANES; l++) first[l] = l / w->split * w->split;
    for (int i = 0; i < count; i++, from += w->in_c, to += w->in_c * w->split)
        for (int c = 0; c < w->in_c; c += CNN_LANES) {
            vf channels = v_load(from + c);
            for (int s = 0; s < w->split; s++) v_store(to + s * w->in_c + c, v_permute(channels, first + s));
        }
}

static void copy_pixels(const conv_walk *w, const float *from, int count, float *to) {
    if (w->repeat == 1 && w->split == 1) {
        memcpy(to, from, (size_t)count * (size_t)w->in_c * sizeof(float));
        return;
    }
    int groups = w->in_c / w->split;
    if (w->split == w->repeat && CNN_LANES % w->split == 0 && w->in_c % CNN_LANES == 0) {
        permute_pixels(w, from, count, to);
        return;
    }
    for (int i = 0; i < count; i++, from += w->in_c)
        for (int s = 0; s < w->split; s++)
            for (int g = 0; g < groups; g++)
                for (int r = 0; r < w->repeat; r++) *to++ = from[g * w->split + s];
}

static void zero(float *to, ptrdiff_t floats) {
    if (floats > 0) memset(to, 0, (size_t)floats * sizeof(float));
}

/* One row of `width` pixels of the bordered picture, row -1 and such being all border. */
static void copy_row(const conv_walk *w, const float *picture, int row, int width, float *to) {
    ptrdiff_t pixel = (ptrdiff_t)w->in_c * w->repeat;
    int begin = w->left > 0 ? w->left : 0, end = w->in_w + w->left < width ? w->in_w + w->left : width;
    if (row < 0 || row >= w->in_h || begin >= end) {
        zero(to, width * pixel);
        return;
    }
    zero(to, begin * pixel);
    copy_pixels(w, picture + ((ptrdiff_t)row * w->in_w + begin - w->left) * w->in_c, end - begin,
                to + begin * pixel);
    zero(to + end * pixel, (width - end) * pixel);
}

conv_view conv_view_open(const conv_walk *w, const float *picture, int samples, int first, int rows,
                         float *copy) {
    ptrdiff_t sample = (ptrdiff_t)w->in_h * w->in_w * w->in_c;
    int top = first * w->stride_h - w->top;
    if (!needs_copy(w)) {
        ptrdiff_t row = (ptrdiff_t)w->in_w * w->in_c;
        return (conv_view){picture + top * row - (ptrdiff_t)w->left * w->in_c, sample, row, w->in_c};
    }
    int height = extent(rows, w->stride_h, w->kernel_h, w->dilation_h);
    int width = extent(w->out_w, w->stride_w, w->kernel_w, w->dilation_w);
    conv_view view = {.origin = copy, .pixel = (ptrdiff_t)w->in_c * w->repeat};
    view.row = width * view.pixel;
    view.sample = height * view.row;
    for (int s = 0; s < samples; s++)
        for (int r = 0; r < height; r++)
            copy_row(w, picture + s * sample, top + r, width, copy + s * view.sample + r * view.row);
    return view;
}

/* Dots read the columns of a row of taps, all channels, as one run of floats. */
static int run_length(const conv_walk *w) {
    return w->kernel_w * w->group_in;
}

/* In lanes mode the steps of a tap are the view's split planes, else the group's channels. */
static int steps_of_tap(const conv_walk *w) {
    return w->lanes ? w->split : w->group_in;
}

int conv_steps(const conv_walk *w) {
    if (w->dots) return w->kernel_h * ((run_length(w) + CNN_LANES - 1) / CNN_LANES);
    return w->kernel_h * w->kernel_w * steps_of_tap(w);
}

int conv_tails(const conv_walk *w, int *tail) {
    *tail = w->dots ? run_length(w) % CNN_LANES : 0;
    return *tail > 0 ? w->kernel_h : 0;
}

static void dots_offsets(const conv_walk *w, const conv_view *view, int32_t *offset) {
    int whole = run_length(w) / CNN_LANES, tail;
    for (int h = 0; h < w->kernel_h; h++)
        for (int s = 0; s < whole; s++) *offset++ = (int32_t)(h * w->dilation_h * view->row + s * CNN_LANES);
    for (int h = 0; h < conv_tails(w, &tail); h++)
        *offset++ = (int32_t)(h * w->dilation_h * view->row + whole * CNN_LANES);
}

void conv_offsets(const conv_walk *w, const conv_view *view, int32_t *offset) {
    if (w->dots) {
        dots_offsets(w, view, offset);
        return;
    }
    int steps = steps_of_tap(w), stride = w->lanes ? w->group_out : 1;
    for (int h = 0; h < w->kernel_h; h++)
        for (int v = 0; v < w->kernel_w; v++) {
            ptrdiff_t tap = h * w->dilation_h * view->row + v * w->dilation_w * view->pixel;
            for (int s = 0; s < steps; s++) *offset++ = (int32_t)(tap + s * stride);
        }
}

void conv_grid(int samples, int rows, int columns, ptrdiff_t sample, ptrdiff_t row, ptrdiff_t column,
               int32_t *at) {
    for (int s = 0; s < samples; s++)
        for (int r = 0; r < rows; r++)
            for (int c = 0; c < columns; c++) *at++ = (int32_t)(s * sample + r * row + c * column);
}

/* As many rows, in multiples of unit, as give about `positions` outputs; where a whole sample gives fewer, as
 * many samples. The limit on samples keeps what is read near. */
conv_strip conv_strip_of(const conv_walk *w, int positions, int unit) {
    enum { NEAR = 1 << 16 };
    int rows = (positions / w->out_w + unit - 1) / unit * unit;
    if (rows < unit) rows = unit;
    if (rows < w->out_h) return (conv_strip){1, rows};
    int64_t samples = positions / ((int64_t)w->out_h * w->out_w);
    int64_t limit = NEAR / ((int64_t)extent(w->out_h, w->stride_h, w->kernel_h, w->dilation_h) *
                            extent(w->out_w, w->stride_w, w->kernel_w, w->dilation_w) * w->in_c);
    if (samples > limit) samples = limit;
    return (conv_strip){samples > 1 ? (int)samples : 1, w->out_h};
}
