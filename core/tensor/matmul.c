/* Matrix products over OpenBLAS, which here always runs one-threaded: the partition over threads is ours.
 *
 * C is cut into blocks by m, n and k alone and each block is one call, whether the blocks run side by side or
 * one after another: the same sums in the same order for any number of threads. */
#include "tensor/tensor.h"
#include "base/parallel.h"
#include "base/status.h"
#include "base/text.h"

#include <cblas.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>

static void one_thread(void) {
    openblas_set_num_threads(1);
}

typedef struct gemm_job {
    bool transpose_a, transpose_b;
    int64_t m, n, k, lda, ldb, ldc;
    int64_t rows, columns; /* of a block */
    int64_t across;        /* blocks side by side */
    float alpha, beta;
    const float *a, *b;
    float *c;
} gemm_job;

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* Sizes beyond OpenBLAS's int. Never fast, but right. */
static void plain_block(const gemm_job *job, int64_t i0, int64_t i1, int64_t j0, int64_t j1) {
    for (int64_t i = i0; i < i1; i++) {
        for (int64_t j = j0; j < j1; j++) {
            double sum = 0;
            for (int64_t l = 0; l < job->k; l++)
                sum += (double)job->a[job->transpose_a ? l * job->lda + i : i * job->lda + l] *
                       (double)job->b[job->transpose_b ? j * job->ldb + l : l * job->ldb + j];
            float *c = &job->c[i * job->ldc + j];
            *c = job->alpha * (float)sum + (job->beta == 0 ? 0 : job->beta * *c);
        }
    }
}

static bool fits_blas(const gemm_job *job) {
    return job->m <= INT_MAX && job->n <= INT_MAX && job->k <= INT_MAX && job->lda <= INT_MAX &&
           job->ldb <= INT_MAX && job->ldc <= INT_MAX;
}

static void gemm_block(void *context, int64_t block, int thread) {
    const gemm_job *job = context;
    (void)thread;
    int64_t i0 = block / job->across * job->rows, i1 = least(i0 + job->rows, job->m);
    int64_t j0 = block % job->across * job->columns, j1 = least(j0 + job->columns, job->n);
    if (!fits_blas(job)) {
        plain_block(job, i0, i1, j0, j1);
        return;
    }
    cblas_sgemm(CblasRowMajor, job->transpose_a ? CblasTrans : CblasNoTrans,
                job->transpose_b ? CblasTrans : CblasNoTrans, (int)(i1 - i0), (int)(j1 - j0), (int)job->k,
                job->alpha, job->a + (job->transpose_a ? i0 : i0 * job->lda), (int)job->lda,
                job->b + (job->transpose_b ? j0 * job->ldb : j0), (int)job->ldb, job->beta,
                job->c + i0 * job->ldc + j0, (int)job->ldc);
}

/* C = beta·C */
static void scale(const gemm_job *job) {
    for (int64_t i = 0; i < job->m; i++) {
        float *row = job->c + i * job->ldc;
        for (int64_t j = 0; j < job->n; j++) row[j] = job->beta == 0 ? 0 : row[j] * job->beta;
    }
}

/* Blocks of some 4 million multiply-adds, at most 64, of at least 64 rows or columns: each packs its operands
 * anew. The longer side is cut first. */
static void choose_blocks(gemm_job *job) {
    enum { WORK = 4000000, MOST = 64, EDGE = 64, UNIT = 16 };
    double work = (double)job->m * (double)job->n * (double)job->k / WORK;
    int64_t wanted = work > MOST ? MOST : work < 1 ? 1 : (int64_t)work;
    int64_t down_most = (job->m + EDGE - 1) / EDGE, across_most = (job->n + EDGE - 1) / EDGE;
    int64_t down, across;
    if (job->m >= job->n) {
        down = least(wanted, down_most);
        across = least(wanted / down, across_most);
    } else {
        across = least(wanted, across_most);
        down = least(wanted / across, down_most);
    }
    job->rows = ((job->m + down - 1) / down + UNIT - 1) / UNIT * UNIT;
    job->columns = ((job->n + across - 1) / across + UNIT - 1) / UNIT * UNIT;
}

void cnn_gemm(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, float alpha,
              const float *a, int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    gemm_job job = {.transpose_a = transpose_a,
                    .transpose_b = transpose_b,
                    .m = m,
                    .n = n,
                    .k = k,
                    .lda = lda,
                    .ldb = ldb,
                    .ldc = ldc,
                    .alpha = alpha,
                    .beta = beta,
                    .a = a,
                    .b = b,
                    .c = c};
    if (m <= 0 || n <= 0) return;
    if (k <= 0) {
        scale(&job);
        return;
    }
    pthread_once(&once, one_thread);
    choose_blocks(&job);
    job.across = (n + job.columns - 1) / job.columns;
    cnn_parallel((m + job.rows - 1) / job.rows * job.across, gemm_block, &job);
}

/* ---- matmul ------------------------------------------------------------------------------------------ */

/* A stack of matrices as NumPy's matmul sees a tensor: a vector is one row (left) or one column (right). */
typedef struct matrices {
    int64_t rows, columns;
    cnn_tensor stack; /* of the leading axes: for its shape only */
} matrices;

static matrices as_matrices(const cnn_tensor *t, bool left) {
    matrices m = {0};
    if (t->rank == 1) {
        m.rows = left ? 1 : t->shape[0];
        m.columns = left ? t->shape[0] : 1;
        return m;
    }
    m.rows = t->shape[t->rank - 2];
    m.columns = t->shape[t->rank - 1];
    m.stack.rank = t->rank - 2;
    memcpy(m.stack.shape, t->shape, sizeof m.stack.shape);
    return m;
}

typedef struct matmul_job {
    int rank;
    const int64_t *shape; /* the leading axes of the result */
    const cnn_tensor *a, *b;
    matrices left, right;
    float *out;
} matmul_job;

/* Which matrix of the stack takes part at a position of the broadcast leading axes. */
static int64_t stack_position(const matmul_job *job, const cnn_tensor *stack, int64_t position) {
    int64_t result = 0, stride = 1;
    for (int i = 1; i <= job->rank; i++) {
        int64_t size = job->shape[job->rank - i], index = position % size;
        position /= size;
        if (i > stack->rank) continue;
        int64_t own = stack->shape[stack->rank - i];
        if (own != 1) result += index * stride;
        stride *= own;
    }
    return result;
}

static void multiply_one(void *context, int64_t position, int thread) {
    const matmul_job *job = context;
    (void)thread;
    int64_t m = job->left.rows, k = job->left.columns, n = job->right.columns;
    const float *a = cnn_f32(job->a) + stack_position(job, &job->left.stack, position) * m * k;
    const float *b = cnn_f32(job->b) + stack_position(job, &job->right.stack, position) * k * n;
    cnn_gemm(false, false, m, n, k, 1, a, k > 0 ? k : 1, b, n, 0, job->out + position * m * n, n);
}

static void multiply(matmul_job *job, int64_t count) {
    enum { SMALL = 1 << 20 };
    int64_t m = job->left.rows, k = job->left.columns, n = job->right.columns;
    if (job->right.stack.rank == 0) { /* one matrix on the right: the stack on the left is one tall matrix */
        cnn_gemm(false, false, count * m, n, k, 1, cnn_f32(job->a), k > 0 ? k : 1, cnn_f32(job->b), n, 0,
                 job->out, n);
    } else if (m * n < SMALL && m * n * k < SMALL) {
        cnn_parallel(count, multiply_one, job);
    } else {
        for (int64_t i = 0; i < count; i++) multiply_one(job, i, 0);
    }
}

static cnn_status check_operands(const cnn_tensor *a, const cnn_tensor *b) {
    CNN_TRY(cnn_check_values("matmul", a));
    CNN_TRY(cnn_check_values("matmul", b));
    if (a->dtype != CNN_FLOAT32 || b->dtype != CNN_FLOAT32)
        return cnn_fail(CNN_ERROR_DTYPE, "matmul: expected two float32 tensors, got %s and %s",
                        cnn_dtype_name(a->dtype), cnn_dtype_name(b->dtype));
    if (a->rank == 0 || b->rank == 0)
        return cnn_fail(CNN_ERROR_SHAPE, "matmul: expected vectors or matrices, got a scalar");
    return CNN_OK;
}

cnn_status cnn_matmul(cnn_tensor **out, const cnn_tensor *a, const cnn_tensor *b) {
    CNN_TRY(check_operands(a, b));
    matmul_job job = {.a = a, .b = b, .left = as_matrices(a, true), .right = as_matrices(b, false)};
    if (job.left.columns != job.right.rows) {
        char left[CNN_SHAPE_TEXT], right[CNN_SHAPE_TEXT];
        return cnn_fail(CNN_ERROR_SHAPE, "matmul: the inner sizes of the shapes %s and %s differ",
                        cnn_shape_text(left, sizeof left, a->rank, a->shape),
                        cnn_shape_text(right, sizeof right, b->rank, b->shape));
    }
    int64_t shape[CNN_MAX_RANK], count = 1;
    CNN_TRY(cnn_broadcast_shape("matmul", &job.left.stack, &job.right.stack, &job.rank, shape));
    int rank = job.rank;
    if (a->rank > 1) shape[rank++] = job.left.rows;
    if (b->rank > 1) shape[rank++] = job.right.columns;
    cnn_tensor *t;
    CNN_TRY(cnn_tensor_alloc_for("matmul", &t, CNN_FLOAT32, rank, shape));
    for (int i = 0; i < job.rank; i++) count *= shape[i];
    job.shape = shape;
    job.out = cnn_f32(t);
    if (t->size > 0) multiply(&job, count);
    *out = t;
    return CNN_OK;
}
