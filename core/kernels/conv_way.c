/* Which way a convolution takes through each pass: by its shape, and by how many samples its weights are packed for where
 * these are the only ones (an eager call); never by how many samples a call has or how many threads there are, so that
 * results do not depend on these.
 *
 * What a sample costs on each way is estimated in multiply-adds of vectors. Beside the products these are: for
 * spreading, reading and writing the sums once a tap; for Winograd's 3×3, transforming vectors of windows to points
 * and back, and fetching the weights, four times as large as elsewhere, once a call; for its gradient to the weights,
 * writing the sums at the points and making weights of them once a call. A call is taken to have four samples; fewer
 * only come where pictures are large, and there the weights matter less. Packing is forgotten over many batches, but
 * for a single one, of a sample or a few, four times as many weights may take longer than all the products. The
 * constants were measured; for what they leave out, Winograd has to promise a fifth off. */
#include "kernels/conv.h"
#include "kernels/conv_winograd.h"

/* Multiply-adds that take as long as: reading and writing a vector of sums; transforming a vector of a window; fetching
 * a vector of weights from the second-level cache and from beyond it; storing a vector of sums at all points and
 * making weights of it. */
enum { MEMORY_STEPS = 5, TRANSFORM = 300, NEAR = 1, FAR = 5, WEIGHTS = WINOGRAD_POINTS * MEMORY_STEPS + 160 };

/* And packing a vector of weights at all points, beyond what the other ways take for theirs. */
enum { PACK_NEAR = 250, PACK_FAR = 1600 };

enum { SAMPLES = 4 }; /* of a call */

static int64_t vectors(int channels) {
    return (channels + CNN_LANES - 1) / CNN_LANES;
}

/* Too few channels leave most lanes empty; offsets within a strip have to fit an int32_t. */
static bool channels_fit(int channels) {
    return channels >= CNN_LANES && channels <= 1 << 14;
}

static bool winograd_fits(const cnn_conv *c) {
    bool plain = c->stride_h == 1 && c->stride_w == 1 && c->dilation_h == 1 && c->dilation_w == 1;
    return c->kernel_h == 3 && c->kernel_w == 3 && plain && c->groups == 1 && channels_fit(c->in_c) &&
           channels_fit(c->out_c);
}

/* Weights at all points that outgrow the second-level cache. */
static bool is_far(const cnn_conv *c) {
    return (int64_t)WINOGRAD_POINTS * c->in_c * c->out_c > 1 << 19;
}

/* From channels `in` to channels `out` at all points, with the transforms. */
static int64_t winograd_cost(const cnn_conv *c, int in, int out) {
    int64_t tiles =
        (int64_t)winograd_quotient(c->out_h, WINOGRAD_OUT) * winograd_quotient(c->out_w, WINOGRAD_OUT);
    int64_t weights = WINOGRAD_POINTS * in * vectors(out);
    return tiles * (weights + TRANSFORM * (vectors(in) + vectors(out))) +
           weights * (is_far(c) ? FAR : NEAR) / SAMPLES;
}

/* A sample's share of packing its weights, where they serve no others. */
static int64_t packing_cost(const cnn_conv *c, int in, int out) {
    return c->once > 0 ? in * vectors(out) * (is_far(c) ? PACK_FAR : PACK_NEAR) / c->once : 0;
}

static bool worthwhile(int64_t winograd, int64_t other) {
    return winograd + winograd / 4 < other;
}

/* A piece goes the way of the whole, whose packed weights it has. */
static cnn_conv whole_of(const cnn_conv *c) {
    cnn_conv whole = *c;
    if (c->whole_h > 0) whole.out_h = c->whole_h;
    return whole;
}

conv_way conv_way_forward(const cnn_conv *piece) {
    const cnn_conv whole = whole_of(piece), *c = &whole;
    if (!winograd_fits(c) || conv_forward_dots(c)) return CONV_WALK;
    int64_t walk = (int64_t)c->out_h * c->out_w * 9 * c->in_c * vectors(c->out_c);
    int64_t winograd = winograd_cost(c, c->in_c, c->out_c) + packing_cost(c, c->in_c, c->out_c);
    return worthwhile(winograd, walk) ? CONV_WINOGRAD : CONV_WALK;
}

/* Whether most phases of the strides are done by dots. */
static bool input_dots(const cnn_conv *c) {
    int taps_h = winograd_quotient(c->kernel_h, c->stride_h),
        taps_w = winograd_quotient(c->kernel_w, c->stride_w);
    return c->groups == 1 && conv_dots(taps_h, taps_w, 1, c->out_c, c->in_c);
}

conv_way conv_way_input(const cnn_conv *c) {
    if (conv_scatters(c)) return CONV_SPREAD;
    if (conv_in_lanes(c, c->in_c) || input_dots(c)) return CONV_WALK;
    int64_t steps = c->out_c / c->groups;
    int64_t walk = (int64_t)c->in_h * c->in_w * steps;
    int64_t spread = (int64_t)c->out_h * c->out_w * c->stride_h * c->stride_w * (steps + MEMORY_STEPS);
    int64_t least = (walk < spread ? walk : spread) * 9 * vectors(c->in_c);
    int64_t winograd = winograd_cost(c, c->out_c, c->in_c) + packing_cost(c, c->out_c, c->in_c);
    if (winograd_fits(c) && worthwhile(winograd, least)) return CONV_WINOGRAD;
    return spread < walk ? CONV_SPREAD : CONV_WALK;
}

conv_way conv_way_weights(const cnn_conv *c) {
    if (!winograd_fits(c)) return CONV_WALK;
    int64_t products = (int64_t)c->in_c * vectors(c->out_c);
    int64_t sums = WEIGHTS * products / (c->once > 0 && c->once < SAMPLES ? c->once : SAMPLES);
    int64_t winograd = winograd_cost(c, c->in_c, c->out_c) + sums;
    return worthwhile(winograd, (int64_t)c->out_h * c->out_w * 9 * products) ? CONV_WINOGRAD : CONV_WALK;
}
