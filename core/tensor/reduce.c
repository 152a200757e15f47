/* Reductions: sums, means, extremes and their positions, over any set of axes.
 *
 * Every input row is converted to doubles and folded into lanes of doubles; the lanes of one output are
 * combined in order at the end. Large reductions are cut into blocks by their sizes alone, and the blocks'
 * lanes added in order, so that results do not depend on the number of threads.
 *
 * After axes that can be walked as one are merged, the input is [… kept or reduced …, reduced rows, width]:
 * `width` is the innermost kept axis, or 1 where the innermost axis is reduced. One output unit is `width`
 * neighbouring outputs; narrow units are folded several rows at a time. */
#include "tensor/tensor.h"
#include "tensor/rows.h"
#include "base/parallel.h"
#include "base/status.h"

#include <math.h>
#include <string.h>

enum { LANES = 512, WIDE = 64, BLOCKS = 64, PARTIALS = 8192, SHORT = 128, SHORT_BLOCK = 2048 };

static const char *const names[] = {"sum", "mean", "max", "min", "prod", "std", "var", "argmax", "argmin"};

static bool is_position(cnn_reduce_op op) {
    return op == CNN_ARGMAX || op == CNN_ARGMIN;
}

static bool is_choice(cnn_reduce_op op) {
    return op == CNN_MAX || op == CNN_MIN || is_position(op);
}

static bool is_spread(cnn_reduce_op op) {
    return op == CNN_STD || op == CNN_VAR;
}

/* ---- folding a row into lanes ------------------------------------------------------------------------ */

/* What is known of each output, or of each of several shares in one output, so far. second: the sum of
 * squares (std, var) or the row of the extreme (argmax, argmin); std and var work on differences from
 * `shift`, one of the values, so that the sum of squares loses nothing where the mean is large. */
typedef struct lanes {
    double *value, *second;
    const double *shift;
} lanes;

static void fold_spread(lanes l, const double *row, int n) {
    double *restrict value = l.value, *restrict second = l.second;
    const double *restrict shift = l.shift;
    for (int i = 0; i < n; i++) {
        double d = row[i] - shift[i];
        value[i] += d;
        second[i] += d * d;
    }
}

/* `at` is the row's number. Not a number beats all others, and nothing beats it. */
static void fold_position(cnn_reduce_op op, lanes l, const double *row, int n, double at) {
    double *restrict value = l.value, *restrict second = l.second, sign = op == CNN_ARGMAX ? 1 : -1;
    for (int i = 0; i < n; i++) {
        double x = sign * row[i], best = sign * value[i];
        value[i] = (!(x <= best) & (best == best)) ? row[i] : value[i];
        second[i] = (!(x <= best) & (best == best)) ? at : second[i];
    }
}

static void fold(cnn_reduce_op op, lanes l, const double *row, int n, double at) {
    double *restrict value = l.value;
    switch (op) {
    case CNN_SUM:
    case CNN_MEAN:
        for (int i = 0; i < n; i++) value[i] += row[i];
        break;
    case CNN_PROD:
        for (int i = 0; i < n; i++) value[i] *= row[i];
        break;
    case CNN_MAX: /* not a number wins, and stays */
        for (int i = 0; i < n; i++) value[i] = ((row[i] > value[i]) | (row[i] != row[i])) ? row[i] : value[i];
        break;
    case CNN_MIN:
        for (int i = 0; i < n; i++) value[i] = ((row[i] < value[i]) | (row[i] != row[i])) ? row[i] : value[i];
        break;
    case CNN_STD:
    case CNN_VAR:
        fold_spread(l, row, n);
        break;
    case CNN_ARGMAX:
    case CNN_ARGMIN:
        fold_position(op, l, row, n, at);
        break;
    }
}

/* Lanes of no rows yet. A position starts at the first row: where nothing beats infinity, that is the one. */
static void start(cnn_reduce_op op, lanes l, int n, double first) {
    double value = op == CNN_PROD                      ? 1
                   : op == CNN_MAX || op == CNN_ARGMAX ? -INFINITY
                   : op == CNN_MIN || op == CNN_ARGMIN ? INFINITY
                                                       : 0;
    for (int i = 0; i < n; i++) {
        l.value[i] = value;
        l.second[i] = is_position(op) ? first : 0;
    }
}

/* Positions found among other rows: the better value wins, among equals the earlier row. */
static void merge_positions(cnn_reduce_op op, lanes l, const double *other, const double *other_second,
                            int n) {
    double sign = op == CNN_ARGMAX ? 1 : -1;
    for (int i = 0; i < n; i++) {
        double x = sign * other[i], best = sign * l.value[i];
        bool better = !(x <= best) && best == best, equal = x == best || (x != x && best != best);
        if (!better && !(equal && other_second[i] < l.second[i])) continue;
        l.value[i] = other[i];
        l.second[i] = other_second[i];
    }
}

/* Folds what other rows gave for the same n outputs into l. */
static void merge(cnn_reduce_op op, lanes l, const double *other, const double *other_second, int n) {
    if (is_position(op)) {
        merge_positions(op, l, other, other_second, n);
    } else if (is_spread(op)) {
        for (int i = 0; i < n; i++) {
            l.value[i] += other[i];
            l.second[i] += other_second[i];
        }
    } else {
        fold(op, l, other, n, 0);
    }
}

/* ---- the shape of the work --------------------------------------------------------------------------- */

typedef struct reduce_job {
    cnn_reduce_op op;
    cnn_dtype dtype, out_dtype;
    const char *in;
    char *out;
    int kept_rank, reduced_rank; /* outer axes; the innermost reduced one is `rows` */
    int64_t kept[CNN_MAX_RANK], kept_stride[CNN_MAX_RANK];
    int64_t reduced[CNN_MAX_RANK], reduced_stride[CNN_MAX_RANK];
    int64_t rows, width; /* a panel: rows of `width` elements side by side */
    int64_t panels;      /* of one unit */
    int64_t units;       /* outputs / width */
    int64_t columns;     /* pieces a unit's width is cut into, each of LANES elements */
    int64_t blocks;      /* pieces a unit's panels · rows are cut into */
    double count;        /* elements that make one output */
    int64_t unit;        /* the unit whose blocks run now */
    double *partial_value, *partial_second;
} reduce_job;

static int64_t offset_of(int rank, const int64_t *shape, const int64_t *stride, int64_t position) {
    int64_t offset = 0;
    for (int i = rank - 1; i >= 0 && position > 0; i--) {
        offset += position % shape[i] * stride[i];
        position /= shape[i];
    }
    return offset;
}

static void load(const reduce_job *job, double *row, int64_t offset, int64_t n) {
    cnn_row_to_double(row, job->dtype, job->in + offset * (int64_t)cnn_dtype_size(job->dtype), n);
}

/* Sums of float32, the commonest case, go without the detour through a row of doubles. */
static bool is_plain_sum(const reduce_job *job) {
    return job->dtype == CNN_FLOAT32 && (job->op == CNN_SUM || job->op == CNN_MEAN);
}

static void add_floats(double *restrict value, const float *restrict row, int64_t n) {
    for (int64_t i = 0; i < n; i++) value[i] += (double)row[i];
}

static double sum_floats(const float *x, int64_t n) {
    double s[8] = {0};
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int k = 0; k < 8; k++) s[k] += (double)x[i + k];
    for (int k = 0; i < n; i++, k++) s[k] += (double)x[i];
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

/* Rows [from, to) of a panel, columns [0, n) of which start at offset; `first` is the number of row 0 in the
 * unit. */
static void fold_panel(const reduce_job *job, lanes l, int64_t offset, int64_t n, int64_t from, int64_t to,
                       int64_t first, int64_t together) {
    const float *floats = (const float *)(const void *)job->in;
    double row[LANES];
    if (is_plain_sum(job) && job->width == 1) {
        l.value[0] += sum_floats(floats + offset + from, to - from);
        return;
    }
    while (from < to) {
        int64_t m = to - from < together ? to - from : together, at = offset + from * job->width;
        if (is_plain_sum(job)) {
            add_floats(l.value, floats + at, m * n);
        } else {
            load(job, row, at, m * n);
            fold(job->op, l, row, (int)(m * n), (double)(first + from));
        }
        from += m;
    }
}

/* How many rows are folded as one longer row: narrow ones lie side by side. */
static int64_t rows_together(const reduce_job *job) {
    int64_t together = job->width >= WIDE ? 1 : WIDE / job->width;
    if (is_plain_sum(job) && job->width == 1) together = 1;
    return together < job->rows ? together : job->rows;
}

/* Brings the shares of `together` rows of n lanes into the first, halving their number each time. */
static void combine_lanes(const reduce_job *job, lanes l, int64_t n, int64_t together) {
    for (int64_t i = n; i < n * together && is_position(job->op); i++) l.second[i] += (double)(i / n);
    while (together > 1) {
        int64_t half = (together + 1) / 2;
        merge(job->op, l, l.value + half * n, l.second + half * n, (int)((together - half) * n));
        together = half;
    }
}

/* Reduces rows [from, to) of a unit's columns [column, column + n) into value and second [n]. Narrow rows lie
 * side by side, so several are folded at once, as one longer row. */
static void reduce_rows(const reduce_job *job, int64_t unit, int64_t column, int64_t n, int64_t from,
                        int64_t to, double *value, double *second) {
    double lane_value[LANES], lane_second[LANES], shift[LANES];
    lanes l = {lane_value, lane_second, shift};
    int64_t together = rows_together(job);
    int64_t base = offset_of(job->kept_rank, job->kept, job->kept_stride, unit) + column;
    start(job->op, l, (int)(n * together), (double)from);
    if (is_spread(job->op)) {
        load(job, shift, base, n);
        for (int64_t i = n; i < n * together; i++) shift[i] = shift[i - n];
    }
    while (from < to) {
        int64_t panel = from / job->rows, first = panel * job->rows;
        int64_t end = to < first + job->rows ? to : first + job->rows;
        int64_t offset = base + offset_of(job->reduced_rank, job->reduced, job->reduced_stride, panel);
        fold_panel(job, l, offset, n, from - first, end - first, first, together);
        from = end;
    }
    combine_lanes(job, l, n, together);
    memcpy(value, lane_value, sizeof(double) * (size_t)n);
    memcpy(second, lane_second, sizeof(double) * (size_t)n);
}

/* Units [from, to) of the innermost axis alone, where it is short: many units at once, a lane each. */
static void reduce_short(const reduce_job *job, int64_t from, int64_t to, double *value, double *second) {
    double block[SHORT_BLOCK], row[LANES], shift[LANES];
    lanes l = {value, second, shift};
    int n = (int)(to - from), size = (int)job->rows;
    load(job, block, from * size, (int64_t)n * size);
    for (int i = 0; i < n; i++) shift[i] = block[i * size];
    start(job->op, l, n, 0);
    for (int r = 0; r < size; r++) {
        for (int i = 0; i < n; i++) row[i] = block[i * size + r];
        fold(job->op, l, row, n, r);
    }
}

/* What a set of lanes says of n outputs, from `position` on. */
static void finish(const reduce_job *job, int64_t position, int64_t n, double *value, const double *second) {
    if (is_position(job->op)) {
        for (int64_t i = 0; i < n; i++) ((int32_t *)(void *)job->out)[position + i] = (int32_t)second[i];
        return;
    }
    if (job->op == CNN_MEAN)
        for (int64_t i = 0; i < n; i++) value[i] /= job->count;
    if (is_spread(job->op)) {
        for (int64_t i = 0; i < n; i++) {
            double mean = value[i] / job->count, square = second[i] / job->count - mean * mean;
            value[i] = square < 0 ? 0 : square;
        }
    }
    if (job->op == CNN_STD)
        for (int64_t i = 0; i < n; i++) value[i] = sqrt(value[i]);
    for (int64_t i = 0; i < n; i++) cnn_store(job->out_dtype, job->out, position + i, value[i]);
}

/* ---- running ----------------------------------------------------------------------------------------- */

static int64_t column_width(const reduce_job *job, int64_t column) {
    int64_t left = job->width - column * LANES;
    return left < LANES ? left : LANES;
}

static bool is_short(const reduce_job *job) {
    return job->width == 1 && job->panels == 1 && job->rows <= SHORT && !is_plain_sum(job);
}

/* Tasks are pieces of units, each reduced as a whole. */
static void reduce_units(void *context, int64_t from, int64_t to) {
    const reduce_job *job = context;
    double value[LANES], second[LANES];
    if (is_short(job)) {
        int64_t most = SHORT_BLOCK / job->rows < LANES ? SHORT_BLOCK / job->rows : LANES;
        for (int64_t end; from < to; from = end) {
            end = to - from < most ? to : from + most;
            reduce_short(job, from, end, value, second);
            finish(job, from, end - from, value, second);
        }
        return;
    }
    for (int64_t piece = from; piece < to; piece++) {
        int64_t unit = piece / job->columns, column = piece % job->columns, n = column_width(job, column);
        reduce_rows(job, unit, column * LANES, n, 0, job->panels * job->rows, value, second);
        finish(job, unit * job->width + column * LANES, n, value, second);
    }
}

/* Tasks are blocks of the rows of one unit's piece. */
static void reduce_block(void *context, int64_t block, int thread) {
    const reduce_job *job = context;
    (void)thread;
    int64_t unit = job->unit / job->columns, column = job->unit % job->columns, n = column_width(job, column);
    int64_t total = job->panels * job->rows, size = (total + job->blocks - 1) / job->blocks;
    int64_t from = block * size < total ? block * size : total,
            to = from + size < total ? from + size : total;
    reduce_rows(job, unit, column * LANES, n, from, to, job->partial_value + block * n,
                job->partial_second + block * n);
}

static void reduce_in_blocks(reduce_job *job) {
    double value[PARTIALS], second[PARTIALS];
    job->partial_value = value;
    job->partial_second = second;
    for (job->unit = 0; job->unit < job->units * job->columns; job->unit++) {
        int64_t column = job->unit % job->columns, n = column_width(job, column);
        cnn_parallel(job->blocks, reduce_block, job);
        for (int64_t block = 1; block < job->blocks; block++)
            merge(job->op, (lanes){value, second, NULL}, value + block * n, second + block * n, (int)n);
        finish(job, job->unit / job->columns * job->width + column * LANES, n, value, second);
    }
}

/* Sorts the axes, from the innermost out, into width, rows and the outer kept and reduced ones. */
static void plan_axes(reduce_job *job, const cnn_tensor *a, unsigned axes) {
    int64_t size[CNN_MAX_RANK], step[CNN_MAX_RANK], strides[CNN_MAX_RANK];
    bool reduced[CNN_MAX_RANK];
    int groups = 0;
    cnn_strides(a->rank, a->shape, strides);
    for (int i = 0; i < a->rank; i++) {
        bool over = axes >> i & 1;
        if (a->shape[i] == 1) continue;
        if (groups > 0 && reduced[groups - 1] == over) {
            size[groups - 1] *= a->shape[i];
        } else {
            size[groups] = a->shape[i];
            reduced[groups++] = over;
        }
        step[groups - 1] = strides[i];
    }
    job->width = job->rows = job->panels = job->units = 1;
    int last = groups - 1;
    if (last >= 0 && !reduced[last]) job->width = size[last--];
    if (last >= 0) job->rows = size[last--]; /* groups alternate, so this one is reduced */
    for (int i = 0; i <= last; i++) {
        int *rank = reduced[i] ? &job->reduced_rank : &job->kept_rank;
        (reduced[i] ? job->reduced : job->kept)[*rank] = size[i];
        (reduced[i] ? job->reduced_stride : job->kept_stride)[(*rank)++] = step[i];
        *(reduced[i] ? &job->panels : &job->units) *= size[i];
    }
}

static void fill_empty(cnn_tensor *out, cnn_reduce_op op) {
    cnn_fill_into(out, op == CNN_SUM ? 0 : op == CNN_PROD ? 1 : NAN);
}

static unsigned all_axes(const cnn_tensor *a) {
    return (1u << a->rank) - 1;
}

void cnn_reduce_into(cnn_tensor *out, cnn_reduce_op op, const cnn_tensor *a, unsigned axes) {
    reduce_job job = {.op = op, .dtype = a->dtype, .out_dtype = out->dtype, .in = a->data, .out = out->data};
    if (out->size == 0) return;
    if (a->size == 0) {
        fill_empty(out, op);
        return;
    }
    plan_axes(&job, a, axes ? axes : all_axes(a));
    int64_t total = job.panels * job.rows, n = job.width < LANES ? job.width : LANES, work = total * n;
    job.columns = (job.width + LANES - 1) / LANES;
    job.count = (double)total;
    job.blocks = work / CNN_GRAIN < BLOCKS ? work / CNN_GRAIN : BLOCKS;
    if (job.blocks > PARTIALS / n) job.blocks = PARTIALS / n;
    int64_t pieces = job.units * job.columns;
    if (pieces < BLOCKS && job.blocks > 1)
        reduce_in_blocks(&job);
    else
        cnn_parallel_ranges(pieces, work < CNN_GRAIN ? CNN_GRAIN / work : 1, reduce_units, &job);
}

/* ---- checked ----------------------------------------------------------------------------------------- */

cnn_dtype cnn_reduce_dtype(cnn_reduce_op op, cnn_dtype a) {
    bool integer = a == CNN_INT32 || a == CNN_UINT8;
    if (is_position(op)) return CNN_INT32;
    if (is_choice(op)) return a;
    if (op == CNN_SUM || op == CNN_PROD) return integer ? CNN_INT32 : CNN_FLOAT32;
    return CNN_FLOAT32;
}

static cnn_status check_axes(const char *who, cnn_reduce_op op, const cnn_tensor *a, unsigned axes) {
    if (axes & ~all_axes(a)) {
        int axis = 0;
        while (!((axes & ~all_axes(a)) >> axis & 1)) axis++;
        return cnn_normalize_axis(who, axis, a->rank, &axis);
    }
    if (is_position(op) && axes != all_axes(a) && (axes & (axes - 1)) != 0)
        return cnn_fail(CNN_ERROR_ARGUMENT, "%s: expected one axis, or all, got several of %d", who, a->rank);
    int64_t count = 1;
    for (int i = 0; i < a->rank; i++)
        if (axes >> i & 1) count *= a->shape[i];
    if (is_choice(op) && count == 0)
        return cnn_fail(CNN_ERROR_SHAPE,
                        "%s: expected at least one element to choose from, got an empty axis", who);
    if (is_position(op) && count > INT32_MAX)
        return cnn_fail(CNN_ERROR_SHAPE, "%s: positions beyond 2^31 do not fit int32", who);
    return CNN_OK;
}

cnn_status cnn_reduce(cnn_tensor **out, cnn_reduce_op op, const cnn_tensor *a, unsigned axes, bool keepdims) {
    if ((unsigned)op > CNN_ARGMIN)
        return cnn_fail(CNN_ERROR_ARGUMENT, "reduce: unknown operation %d", (int)op);
    CNN_TRY(cnn_check_values(names[op], a));
    if (axes == 0) axes = all_axes(a);
    CNN_TRY(check_axes(names[op], op, a, axes));
    int64_t shape[CNN_MAX_RANK];
    int rank = 0;
    for (int i = 0; i < a->rank; i++) {
        bool over = axes >> i & 1;
        if (!over || keepdims) shape[rank++] = over ? 1 : a->shape[i];
    }
    cnn_tensor *t;
    CNN_TRY(cnn_tensor_alloc_for(names[op], &t, cnn_reduce_dtype(op, a->dtype), rank, shape));
    cnn_reduce_into(t, op, a, axes);
    *out = t;
    return CNN_OK;
}

void cnn_sum_to_into(cnn_tensor *out, const cnn_tensor *a) {
    unsigned axes = 0;
    int missing = a->rank - out->rank;
    for (int i = 0; i < a->rank; i++)
        if (i < missing || out->shape[i - missing] != a->shape[i]) axes |= 1u << i;
    if (axes == 0)
        cnn_cast_into(out, a);
    else
        cnn_reduce_into(out, CNN_SUM, a, axes);
}

cnn_status cnn_allclose(bool *out, const cnn_tensor *a, const cnn_tensor *b, double rtol, double atol) {
    CNN_TRY(cnn_check_values("allclose", a));
    CNN_TRY(cnn_check_values("allclose", b));
    bool close = cnn_same_shape(a, b);
    for (int64_t i = 0; i < a->size && close; i++) {
        double x = cnn_tensor_get(a, i), y = cnn_tensor_get(b, i);
        close = x == y || (isfinite(x) && isfinite(y) && fabs(x - y) <= atol + rtol * fabs(y));
    }
    *out = close;
    return CNN_OK;
}
