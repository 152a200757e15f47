/* One convolution on several threads; see conv_split.h. */
#include "ops/conv_split.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "cnn.h"

/* A part should be worth the microseconds that waking a thread takes, and each has scratch of its own. */
enum { MOST_PARTS = 16, WORTHWHILE = 2000000 };

/* How many parts n samples are cut into: one for each so many multiply-adds. Larger batches make several lanes. */
static int parts_of(const cnn_conv *c, int64_t n) {
    enum { SINGLE_LANE = 4 };
    if (n < 1 || n > SINGLE_LANE) return 1;
    double work =
        (double)n * c->out_h * c->out_w * c->out_c * c->kernel_h * c->kernel_w * c->in_c / c->groups;
    return work < 2 * WORTHWHILE ? 1 : work < MOST_PARTS * WORTHWHILE ? (int)(work / WORTHWHILE) : MOST_PARTS;
}

/* Rows of one sample, cut into pieces: piece i has rows first … first+count-1. */
static int pieces_of(const cnn_conv *c, int rows, int unit) {
    int parts = parts_of(c, 1), units = (rows + unit - 1) / unit;
    return parts < units ? parts : units > 0 ? units : 1;
}

/* Of rows, in whole units but for the last piece. */
static void piece_at(int rows, int unit, int pieces, int64_t piece, int *first, int *count) {
    int units = (rows + unit - 1) / unit;
    *first = (int)(units * piece / pieces) * unit;
    int end = (int)(units * (piece + 1) / pieces) * unit;
    *count = (end < rows ? end : rows) - *first;
}

static int at_least_1(int size) {
    return size > 1 ? size : 1;
}

static int pool_height(const cnn_conv_epilogue *e) {
    return e ? at_least_1(e->pool_h) : 1;
}

/* A piece of the output's rows, and of the input's, is a convolution too. */
static cnn_conv output_rows(const cnn_conv *c, int first, int count) {
    cnn_conv piece = *c;
    piece.whole_h = c->out_h;
    piece.out_h = count;
    piece.pad_top -= first * c->stride_h;
    return piece;
}

static cnn_conv input_rows(const cnn_conv *c, int first, int count) {
    cnn_conv piece = *c;
    piece.in_h = count;
    piece.pad_top += first;
    return piece;
}

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

static size_t scratch_of(const cnn_conv *c, const cnn_conv_epilogue *e) {
    return CNN_ROUND_UP(cnn_kernel()->conv_scratch(c, e), CNN_ALIGN);
}

/* Of any piece: small ones may need more than the whole, as the kernels would take several samples together. */
static size_t scratch_of_piece(const cnn_conv *c, const cnn_conv_epilogue *e) {
    int unit = cnn_kernel()->conv_rows_unit(c, e), pieces = pieces_of(c, c->out_h, unit), first, count;
    size_t most = 0;
    for (int i = 0; i < pieces; i++) {
        piece_at(c->out_h, unit, pieces, i, &first, &count);
        cnn_conv piece = output_rows(c, first, count);
        most = larger(most, scratch_of(&piece, e));
    }
    pieces = pieces_of(c, c->in_h, 1);
    for (int i = 0; i < pieces; i++) {
        piece_at(c->in_h, 1, pieces, i, &first, &count);
        cnn_conv piece = input_rows(c, first, count);
        most = larger(most, scratch_of(&piece, NULL));
    }
    return most;
}

size_t cnn_conv_scratch(const cnn_conv *c, const cnn_conv_epilogue *e, int64_t batch) {
    size_t whole = (size_t)parts_of(c, batch) * scratch_of(c, e);
    bool cut = batch > 0 && parts_of(c, batch) > 1 && parts_of(c, 1) > 1;
    return cut ? larger(whole, (size_t)parts_of(c, 1) * scratch_of_piece(c, e)) : whole;
}

/* Nobody would share the work. */
static bool alone(void) {
    return cnn_in_parallel() || cnn_threads() == 1;
}

/* One call; of its samples, the one in hand. */
typedef struct split {
    const cnn_conv *c;
    const cnn_conv_epilogue *e;
    int n, pieces, rows, unit;
    const float *in, *dy, *packed;
    float *out, *db;
    uint8_t *index;
    char *scratch;
    size_t stride;
} split;

/* ---- forward ------------------------------------------------------------------------------------------- */

static void forward_piece(void *context, int64_t task, int thread) {
    const split *s = context;
    int pool_w = s->e ? at_least_1(s->e->pool_w) : 1, first, count;
    (void)thread;
    piece_at(s->rows, s->unit, s->pieces, task, &first, &count);
    cnn_conv c = output_rows(s->c, first, count);
    ptrdiff_t at = (ptrdiff_t)(first / pool_height(s->e)) * (c.out_w / pool_w) * c.out_c;
    cnn_kernel()->conv_forward(&c, 1, s->in, s->packed, s->e, s->out + at, s->index ? s->index + at : NULL,
                               s->scratch + (size_t)task * s->stride);
}

void cnn_conv_forward(const cnn_conv *c, int64_t n, const float *x, const float *packed,
                      const cnn_conv_epilogue *e, float *y, uint8_t *index, void *scratch) {
    split s = {c, e, 1, .rows = c->out_h, .packed = packed, .scratch = scratch};
    s.unit = cnn_kernel()->conv_rows_unit(c, e);
    s.pieces = alone() || parts_of(c, n) == 1 ? 1 : pieces_of(c, s.rows, s.unit);
    if (s.pieces == 1) {
        cnn_kernel()->conv_forward(c, (int)n, x, packed, e, y, index, scratch);
        return;
    }
    ptrdiff_t sample =
        (ptrdiff_t)(s.rows / pool_height(e)) * (e ? c->out_w / at_least_1(e->pool_w) : c->out_w) * c->out_c;
    s.stride = scratch_of_piece(c, e);
    for (int64_t i = 0; i < n; i++) {
        s.in = x + i * ((ptrdiff_t)c->in_h * c->in_w * c->in_c);
        s.out = y + i * sample;
        s.index = index ? index + i * sample : NULL;
        cnn_parallel(s.pieces, forward_piece, &s);
    }
}

/* ---- gradients ----------------------------------------------------------------------------------------- */

static void input_piece(void *context, int64_t task, int thread) {
    const split *s = context;
    int first, count;
    (void)thread;
    piece_at(s->rows, 1, s->pieces, task, &first, &count);
    cnn_conv c = input_rows(s->c, first, count);
    cnn_kernel()->conv_grad_input(&c, 1, s->in, s->packed, s->out + (ptrdiff_t)first * c.in_w * c.in_c,
                                  s->scratch + (size_t)task * s->stride);
}

void cnn_conv_grad_input(const cnn_conv *c, int64_t n, const float *dy, const float *packed_grad, float *dx,
                         void *scratch) {
    split s = {c, NULL, 1, .rows = c->in_h, .packed = packed_grad, .scratch = scratch};
    bool whole = alone() || parts_of(c, n) == 1 || !cnn_kernel()->conv_grad_rows_apart(c);
    s.pieces = whole ? 1 : pieces_of(c, s.rows, 1);
    if (s.pieces == 1) {
        cnn_kernel()->conv_grad_input(c, (int)n, dy, packed_grad, dx, scratch);
        return;
    }
    s.stride = scratch_of_piece(c, NULL);
    for (int64_t i = 0; i < n; i++) {
        s.in = dy + i * ((ptrdiff_t)c->out_h * c->out_w * c->out_c);
        s.out = dx + i * ((ptrdiff_t)c->in_h * c->in_w * c->in_c);
        cnn_parallel(s.pieces, input_piece, &s);
    }
}

static void weights_part(void *context, int64_t task, int thread) {
    const split *s = context;
    (void)thread;
    cnn_kernel()->conv_grad_weights_part(s->c, s->n, s->in, s->dy, s->out, s->db, (int)task, s->pieces,
                                         s->scratch + (size_t)task * s->stride);
}

void cnn_conv_grad_weights(const cnn_conv *c, int64_t n, const float *x, const float *dy, float *dw,
                           float *db, void *scratch) {
    split s = {c, NULL, (int)n, .in = x, .dy = dy, .out = dw, .db = db, .scratch = scratch};
    s.pieces = alone() ? 1 : parts_of(c, n);
    if (s.pieces > cnn_threads()) s.pieces = cnn_threads(); /* each goes over all of x and dy */
    if (s.pieces > 1) s.stride = scratch_of(c, NULL);
    cnn_parallel(s.pieces, weights_part, &s);
}
