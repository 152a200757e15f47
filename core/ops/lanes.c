/* How a batch is cut into lanes; see op.h.
 *
 * More lanes let more threads work, but each holds sums of all weight gradients, to be cleared, filled and added up.
 * So a lane that sums has four samples or more, there are at most CNN_MAX_LANES, which feeds as many threads, and large
 * gradients get fewer lanes, down to four. With small sums or none a few samples, which may be large, get a lane each. */
#include "ops/op.h"
#include "base/parallel.h"
#include "kernels/kernels.h"

#include <string.h>

int cnn_lane_count(int64_t batch, size_t gradient_bytes) {
    const size_t most_bytes = (size_t)64 << 20, small = (size_t)64 << 10;
    int64_t lanes = (batch + 3) / 4;
    if (gradient_bytes <= small && lanes < 4) lanes = batch < 4 ? batch : 4;
    if (lanes > CNN_MAX_LANES) lanes = CNN_MAX_LANES;
    while (lanes > 4 && (size_t)lanes * gradient_bytes > most_bytes) lanes--;
    return lanes > 0 ? (int)lanes : 1;
}

void cnn_lane_range(int64_t batch, int lanes, int lane, int64_t *from, int64_t *to) {
    *from = batch * lane / lanes;
    *to = batch * (lane + 1) / lanes;
}

typedef struct lane_sums {
    float *out;
    bool add;
    const float *sums;
    int lanes;
    int64_t stride;
} lane_sums;

static void sum_range(void *context, int64_t from, int64_t to) {
    const lane_sums *s = context;
    if (!s->add) memset(s->out + from, 0, (size_t)(to - from) * sizeof(float));
    cnn_kernel()->sum_rows(s->sums + from, s->lanes, to - from, s->stride, s->out + from);
}

void cnn_lanes_sum(float *out, bool add, const float *sums, int lanes, int64_t stride, int64_t count) {
    lane_sums s = {out, add, sums, lanes, stride};
    cnn_parallel_ranges(count, 8192, sum_range, &s);
}
