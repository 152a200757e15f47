// Our convolution kernels against oneDNN's, one thread each, on the layers of the networks in scripts/ and
// on 3x3 with 32 to 256 channels.
//
// For each pass: our GFLOP/s and share of the multiply-add peak, theirs, and how many times as fast we are.
// oneDNN may keep activations channels last, as we do, or in any layout it likes, and weights in any: the
// better counts, and no reordering does. Ours are packed beforehand too. Both add a bias forward and sum its
// gradient with the weights'. Rounds take turns; the median of their ratios is told, and of their speeds.
// It is the processor's time that is measured, which other programs disturb less than the clock's.
//
// Usage: dnnl [word that the layer's name must hold]
#include <omp.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

#include <dnnl.hpp>

extern "C" {
#include "cnn.h"
#include "kernels/kernels.h"
}

namespace {

constexpr int ROUNDS = 7;
constexpr double SECONDS = 0.006; // of one measurement

struct Layer {
    const char *name;
    int n, in, in_c, out_c, kernel, pad;
};

const Layer layers[] = {
    {"mnist 1", 32, 28, 1, 32, 3, 0},
    {"mnist 2", 32, 13, 32, 64, 3, 0},
    {"mnist 3", 32, 5, 64, 64, 3, 0},
    {"mnist_dropout 2", 16, 26, 32, 64, 3, 0},
    {"mnist_functional 3", 32, 5, 64, 128, 3, 0},
    {"fashion_sequential 1", 32, 28, 1, 10, 3, 1},
    {"cats_dogs 1", 1, 180, 3, 32, 3, 0},
    {"cats_dogs 2", 1, 89, 32, 64, 3, 0},
    {"cats_dogs 3", 2, 43, 64, 128, 3, 0},
    {"cats_dogs 4", 4, 20, 128, 256, 3, 0},
    {"cats_dogs 5", 8, 9, 256, 256, 3, 0},
    {"3x3, 32", 4, 56, 32, 32, 3, 1},
    {"3x3, 64", 2, 56, 64, 64, 3, 1},
    {"3x3, 128", 4, 28, 128, 128, 3, 1},
    {"3x3, 256", 8, 14, 256, 256, 3, 1},
};

double now() {
    timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return double(t.tv_sec) + 1e-9 * double(t.tv_nsec);
}

// Seconds of one call: the best of some windows.
double seconds_of(const std::function<void()> &call) {
    double start = now(), best = 1e9;
    call();
    for (int calls = 1; now() - start < SECONDS || best == 1e9;) {
        double began = now();
        for (int i = 0; i < calls; i++) call();
        double took = now() - began;
        if (took < SECONDS / 8)
            calls *= 2;
        else
            best = std::min(best, took / calls);
    }
    return best;
}

double median(std::vector<double> v) {
    std::sort(v.begin(), v.end());
    return v[v.size() / 2];
}

float *random_floats(size_t size) {
    float *p = static_cast<float *>(std::aligned_alloc(64, (size * sizeof(float) + 127) / 64 * 64));
    if (!p) std::abort();
    for (size_t i = 0; i < size; i++) p[i] = float(std::rand()) / float(RAND_MAX) - 0.5f;
    return p;
}

// ---- ours -----------------------------------------------------------------------------------------------

struct Ours {
    const cnn_kernels *k = cnn_kernel();
    cnn_conv c{};
    cnn_conv_epilogue e{};
    int n;
    std::vector<float *> all;
    float *x, *y, *w, *b, *packed, *packed_grad, *scratch;

    float *take(size_t size) {
        all.push_back(random_floats(size));
        return all.back();
    }

    explicit Ours(const Layer &l) : n(l.n) {
        c.in_h = c.in_w = l.in;
        c.in_c = l.in_c;
        c.out_h = c.out_w = l.in + 2 * l.pad - l.kernel + 1;
        c.out_c = l.out_c;
        c.kernel_h = c.kernel_w = l.kernel;
        c.stride_h = c.stride_w = c.dilation_h = c.dilation_w = c.groups = 1;
        c.pad_top = c.pad_left = l.pad;
        x = take(size_t(n) * l.in * l.in * l.in_c);
        y = take(size_t(n) * c.out_h * c.out_w * l.out_c);
        w = take(size_t(l.kernel) * l.kernel * l.in_c * l.out_c);
        b = take(l.out_c);
        e.bias = b;
        packed = take(k->conv_packed_size(&c));
        packed_grad = take(k->conv_packed_grad_size(&c));
        scratch = take(k->conv_scratch(&c, &e) / sizeof(float) + 1);
        k->conv_pack(&c, w, packed);
        k->conv_pack_grad(&c, w, packed_grad);
    }
    Ours(const Ours &) = delete;
    ~Ours() {
        for (float *p : all) std::free(p);
    }

    double flops() const {
        return 2.0 * n * c.out_h * c.out_w * c.out_c * c.kernel_h * c.kernel_w * c.in_c;
    }

    void run(int pass) {
        if (pass == 0)
            k->conv_forward(&c, n, x, packed, &e, y, nullptr, scratch);
        else if (pass == 1)
            k->conv_grad_input(&c, n, y, packed_grad, x, scratch);
        else
            k->conv_grad_weights(&c, n, x, y, w, b, scratch);
    }
};

// ---- oneDNN's -------------------------------------------------------------------------------------------

using dnnl::memory;

struct Theirs {
    using arguments = std::unordered_map<int, memory>;
    dnnl::engine engine{dnnl::engine::kind::cpu, 0};
    dnnl::stream stream{engine};
    dnnl::primitive primitive[3];
    arguments of[3];

    memory filled(const memory::desc &d) {
        memory m(d, engine);
        float *p = static_cast<float *>(m.get_data_handle());
        for (size_t i = 0; i < d.get_size() / sizeof(float); i++) p[i] = float(std::rand()) / float(RAND_MAX) - 0.5f;
        return m;
    }

    Theirs(const Layer &l, memory::format_tag tag) {
        using namespace dnnl;
        const auto f32 = memory::data_type::f32;
        const auto any = memory::format_tag::any;
        const auto direct = algorithm::convolution_auto;
        int out = l.in + 2 * l.pad - l.kernel + 1;
        memory::desc x({l.n, l.in_c, l.in, l.in}, f32, tag), y({l.n, l.out_c, out, out}, f32, tag);
        memory::desc w({l.out_c, l.in_c, l.kernel, l.kernel}, f32, any), b({l.out_c}, f32, memory::format_tag::x);
        memory::dims strides{1, 1}, pad{l.pad, l.pad};
        convolution_forward::primitive_desc forward(
            {prop_kind::forward_training, direct, x, w, b, y, strides, pad, pad}, engine);
        convolution_backward_data::primitive_desc data({direct, x, w, y, strides, pad, pad}, engine, forward);
        convolution_backward_weights::primitive_desc weights({direct, x, w, b, y, strides, pad, pad}, engine, forward);
        primitive[0] = convolution_forward(forward);
        of[0] = {{DNNL_ARG_SRC, filled(forward.src_desc())},
                 {DNNL_ARG_WEIGHTS, filled(forward.weights_desc())},
                 {DNNL_ARG_BIAS, filled(forward.bias_desc())},
                 {DNNL_ARG_DST, filled(forward.dst_desc())}};
        primitive[1] = convolution_backward_data(data);
        of[1] = {{DNNL_ARG_DIFF_SRC, filled(data.diff_src_desc())},
                 {DNNL_ARG_WEIGHTS, filled(data.weights_desc())},
                 {DNNL_ARG_DIFF_DST, filled(data.diff_dst_desc())}};
        primitive[2] = convolution_backward_weights(weights);
        of[2] = {{DNNL_ARG_SRC, filled(weights.src_desc())},
                 {DNNL_ARG_DIFF_WEIGHTS, filled(weights.diff_weights_desc())},
                 {DNNL_ARG_DIFF_BIAS, filled(weights.diff_bias_desc())},
                 {DNNL_ARG_DIFF_DST, filled(weights.diff_dst_desc())}};
    }

    void run(int pass) {
        primitive[pass].execute(stream, of[pass]);
        stream.wait();
    }
};

// ---- the race -------------------------------------------------------------------------------------------

double peak(const cnn_kernels *k) {
    const int64_t rounds = 300000;
    volatile float sink = 0;
    double best = 1e9;
    for (int run = 0; run < 10; run++) {
        double start = now();
        sink = sink + k->peak(rounds);
        best = std::min(best, now() - start);
    }
    return double(rounds) * k->peak_flops_per_round / best;
}

void race(const Layer &l, double &most) {
    Ours ours(l);
    Theirs last(l, memory::format_tag::nhwc), any(l, memory::format_tag::any);
    most = std::max(most, peak(ours.k));
    std::printf("%-22s", l.name);
    for (int pass = 0; pass < 3; pass++) {
        std::vector<double> mine, other, ratio;
        for (int r = 0; r < ROUNDS; r++) {
            mine.push_back(seconds_of([&] { ours.run(pass); }));
            double a = seconds_of([&] { last.run(pass); }), b = seconds_of([&] { any.run(pass); });
            other.push_back(std::min(a, b));
            ratio.push_back(other.back() / mine.back());
        }
        double speed = ours.flops() / median(mine);
        std::printf("  %7.1f %4.0f%% %7.1f %5.2f", speed * 1e-9, 100 * speed / most,
                    ours.flops() / median(other) * 1e-9, median(ratio));
    }
    std::printf("\n");
    std::fflush(stdout);
}

} // namespace

int main(int argc, char **argv) {
    const std::string word = argc > 1 ? argv[1] : "";
    omp_set_num_threads(1);
    double most = peak(cnn_kernel());
    std::printf("%s, %.1f GFLOP/s at most; oneDNN %d.%d.%d\n", cnn_kernel()->isa, most * 1e-9, dnnl::version()->major,
                dnnl::version()->minor, dnnl::version()->patch);
    std::printf("%-22s%s\n%-22s", "", "  forward                     to input                    to weights", "");
    for (int pass = 0; pass < 3; pass++) std::printf("  %7s %5s %7s %5s", "ours", "peak", "oneDNN", "ratio");
    std::printf("\n");
    for (const Layer &l : layers)
        if (std::string(l.name).find(word) != std::string::npos) race(l, most);
    return 0;
}
