/* Copies between strided blocks: the one loop under slicing, transposing, flipping, padding, tiling and
 * broadcasting. Axes that lie side by side in both blocks are merged first, so that the innermost is long;
 * where the innermost steps through the source with a stride while another axis is contiguous there, both are
 * copied in tiles that fit the first cache. */
#include "tensor/rows.h"
#include "tensor/tensor.h"
#include "base/parallel.h"

#include <string.h>

enum { TILE = 32, PIECE = 4 * CNN_GRAIN };

typedef struct copy_job {
    size_t element;
    int rank; /* of the outer axes, walked one unit at a time */
    int64_t shape[CNN_MAX_RANK + 2], out_stride[CNN_MAX_RANK + 2], in_stride[CNN_MAX_RANK + 2];
    int64_t inner, inner_out, inner_in; /* the axis a unit runs along */
    int64_t across;                     /* contiguous in the source, tiled; 0: there is none */
    int64_t across_out;
    int64_t bands, band; /* units an outer position is cut into, and how long each is */
    char *out;
    const char *in;
} copy_job;

static inline __attribute__((always_inline)) void copy_row_of(size_t element, char *restrict out,
                                                              int64_t out_stride, const char *restrict in,
                                                              int64_t in_stride, int64_t n) {
    int64_t to = out_stride * (int64_t)element, from = in_stride * (int64_t)element;
    for (int64_t i = 0; i < n; i++) memcpy(out + i * to, in + i * from, element);
}

/* The stride of 1 is told apart so that the compiler may use whole vectors for it. */
static inline __attribute__((always_inline)) void
copy_row_sized(size_t element, char *out, int64_t out_stride, const char *in, int64_t in_stride, int64_t n) {
    if (out_stride == 1 && in_stride == 0)
        copy_row_of(element, out, 1, in, 0, n);
    else if (out_stride == 1 && in_stride == -1)
        copy_row_of(element, out, 1, in, -1, n);
    else if (out_stride == 1)
        copy_row_of(element, out, 1, in, in_stride, n);
    else
        copy_row_of(element, out, out_stride, in, in_stride, n);
}

static void copy_row(size_t element, char *out, int64_t out_stride, const char *in, int64_t in_stride,
                     int64_t n) {
    if (out_stride == 1 && in_stride == 1)
        memcpy(out, in, (size_t)n * element);
    else if (element == 4)
        copy_row_sized(4, out, out_stride, in, in_stride, n);
    else if (element == 2)
        copy_row_sized(2, out, out_stride, in, in_stride, n);
    else
        copy_row_sized(1, out, out_stride, in, in_stride, n);
}

/* `lines` rows of n elements; each row starts one element further in the source. */
static void copy_tiles(const copy_job *job, char *out, const char *in, int64_t lines) {
    int64_t element = (int64_t)job->element;
    for (int64_t i = 0; i < job->inner; i += TILE) {
        int64_t n = job->inner - i < TILE ? job->inner - i : TILE;
        for (int64_t line = 0; line < lines; line++)
            copy_row(job->element, out + (line * job->across_out + i * job->inner_out) * element,
                     job->inner_out, in + (line + i * job->inner_in) * element, job->inner_in, n);
    }
}

static void copy_unit(const copy_job *job, char *out, const char *in, int64_t band) {
    int64_t element = (int64_t)job->element, start = band * job->band;
    int64_t length = job->across ? job->across : job->inner;
    int64_t n = length - start < job->band ? length - start : job->band;
    if (job->across)
        copy_tiles(job, out + start * job->across_out * element, in + start * element, n);
    else
        copy_row(job->element, out + start * job->inner_out * element, job->inner_out,
                 in + start * job->inner_in * element, job->inner_in, n);
}

static void copy_range(void *context, int64_t from, int64_t to) {
    const copy_job *job = context;
    int64_t index[CNN_MAX_RANK + 2], rest = from / job->bands, band = from % job->bands;
    int64_t out = 0, in = 0;
    for (int i = job->rank - 1; i >= 0; i--) {
        index[i] = rest % job->shape[i];
        rest /= job->shape[i];
        out += index[i] * job->out_stride[i];
        in += index[i] * job->in_stride[i];
    }
    int64_t element = (int64_t)job->element;
    for (int64_t unit = from; unit < to; unit++) {
        copy_unit(job, job->out + out * element, job->in + in * element, band);
        if (++band < job->bands) continue;
        band = 0;
        for (int i = job->rank - 1; i >= 0; i--) {
            out += job->out_stride[i];
            in += job->in_stride[i];
            if (++index[i] < job->shape[i]) break;
            out -= index[i] * job->out_stride[i];
            in -= index[i] * job->in_stride[i];
            index[i] = 0;
        }
    }
}

static void append_axis(copy_job *job, int64_t size, int64_t out_stride, int64_t in_stride) {
    int last = job->rank - 1;
    if (size == 1) return;
    if (last >= 0 && job->out_stride[last] == out_stride * size && job->in_stride[last] == in_stride * size) {
        job->shape[last] *= size;
        job->out_stride[last] = out_stride;
        job->in_stride[last] = in_stride;
        return;
    }
    job->shape[job->rank] = size;
    job->out_stride[job->rank] = out_stride;
    job->in_stride[job->rank++] = in_stride;
}

static void take_axis(copy_job *job, int axis) {
    job->rank--;
    for (int i = axis; i < job->rank; i++) {
        job->shape[i] = job->shape[i + 1];
        job->out_stride[i] = job->out_stride[i + 1];
        job->in_stride[i] = job->in_stride[i + 1];
    }
}

void cnn_copy_strided(size_t element, int rank, const int64_t *shape, void *out, const int64_t *out_stride,
                      const void *in, const int64_t *in_stride) {
    copy_job job = {.element = element, .out = out, .in = in, .inner = 1, .inner_out = 1, .inner_in = 1};
    for (int i = 0; i < rank; i++) {
        if (shape[i] == 0) return;
        append_axis(&job, shape[i], out_stride[i], in_stride[i]);
    }
    if (job.rank > 0) {
        int last = job.rank - 1;
        job.inner = job.shape[last];
        job.inner_out = job.out_stride[last];
        job.inner_in = job.in_stride[last];
        take_axis(&job, last);
    }
    for (int i = job.rank - 1; i >= 0 && job.inner_in != 1 && job.inner_in != 0 && job.across == 0; i--) {
        if (job.in_stride[i] != 1) continue;
        job.across = job.shape[i];
        job.across_out = job.out_stride[i];
        take_axis(&job, i);
    }
    int64_t length = job.across ? job.across : job.inner;
    job.band = job.across ? TILE : PIECE;
    job.bands = (length + job.band - 1) / job.band;
    int64_t units = job.bands, work = (job.across ? job.inner : 1) * (length < job.band ? length : job.band);
    for (int i = 0; i < job.rank; i++) units *= job.shape[i];
    cnn_parallel_ranges(units, work < PIECE ? PIECE / work : 1, copy_range, &job);
}

void cnn_strides(int rank, const int64_t *shape, int64_t *strides) {
    int64_t stride = 1;
    for (int i = rank - 1; i >= 0; i--) {
        strides[i] = stride;
        stride *= shape[i] > 0 ? shape[i] : 1;
    }
}

void cnn_broadcast_strides(const cnn_tensor *a, int rank, const int64_t *shape, int64_t *strides) {
    int64_t own[CNN_MAX_RANK];
    cnn_strides(a->rank, a->shape, own);
    for (int i = 0; i < rank; i++) {
        int axis = i - (rank - a->rank);
        strides[i] = axis < 0 || (a->shape[axis] == 1 && shape[i] != 1) ? 0 : own[axis];
    }
}
