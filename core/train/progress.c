#include "train/progress.h"
#include "base/cpu.h"

#include <math.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { BAR_WIDTH = 30, LEAST_BAR_WIDTH = 5 };
static const double redraw_seconds = 0.1;

cnn_progress cnn_progress_new(FILE *log, int verbose) {
    cnn_progress p = {.log = verbose > 0 ? log : NULL, .verbose = verbose};
    p.terminal = p.log && isatty(fileno(p.log));
    return p;
}

void cnn_progress_epoch(cnn_progress *p, int epoch, int epochs) {
    if (!p->log) return;
    fprintf(p->log, "Epoch %d/%d\n", epoch + 1, epochs);
    fflush(p->log);
}

void cnn_progress_begin(cnn_progress *p, int steps) {
    p->steps = steps;
    p->done = 0;
    p->start = p->last_drawn = cnn_seconds();
}

/* "12s", "1:05", "1:02:03" */
static void print_duration(FILE *log, double seconds) {
    long s = lround(seconds);
    if (s < 60)
        fprintf(log, "%lds", s);
    else if (s < 3600)
        fprintf(log, "%ld:%02ld", s / 60, s % 60);
    else
        fprintf(log, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
}

/* "6ms/step", in the unit that suits. */
static void print_pace(FILE *log, double seconds, int steps) {
    double each = steps > 0 ? seconds / steps : 0;
    if (each >= 1)
        fprintf(log, " %.0fs/step", each);
    else if (each >= 1e-3)
        fprintf(log, " %.0fms/step", each * 1e3);
    else
        fprintf(log, " %.0fus/step", each * 1e6);
}

static void print_logs(FILE *log, const cnn_logs *logs) {
    for (int i = 0; i < logs->count; i++) {
        double value = logs->values[i];
        bool small = value != 0 && fabs(value) < 1e-3;
        fprintf(log, small ? " - %s: %.4e" : " - %s: %.4f", logs->names[i], value);
    }
}

static void print_bar(const cnn_progress *p, int width) {
    int done = p->done, filled = p->steps > 0 ? (int)((int64_t)width * done / p->steps) : width;
    int digits = snprintf(NULL, 0, "%d", p->steps);
    fprintf(p->log, "%*d/%d [", digits, done, p->steps);
    for (int i = 0; i < width; i++) fputc(i < filled ? '=' : i == filled ? '>' : '.', p->log);
    fputc(']', p->log);
}

static int terminal_columns(FILE *terminal) {
    struct winsize size;
    return ioctl(fileno(terminal), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

/* The line of a run that goes on, in the terminal's width: one that is wrapped could not be redrawn. */
static void print_running(const cnn_progress *p, double seconds_left, const cnn_logs *logs) {
    char *figures = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&figures, &size);
    if (!stream) return;
    fprintf(stream, " - ETA: ");
    print_duration(stream, seconds_left);
    print_logs(stream, logs);
    if (fclose(stream) == 0) {
        int room = terminal_columns(p->log) - 1 - snprintf(NULL, 0, "%d/%d []", p->steps, p->steps);
        int width = room - (int)size;
        width = width > BAR_WIDTH ? BAR_WIDTH : width < LEAST_BAR_WIDTH ? LEAST_BAR_WIDTH : width;
        fputc('\r', p->log);
        print_bar(p, width);
        int shown = room > width ? room - width : 0;
        fprintf(p->log, "%.*s\033[K", shown, figures); /* clears what a longer line left */
    }
    free(figures);
}

void cnn_progress_step(cnn_progress *p, int done, const cnn_logs *logs) {
    p->done = done;
    if (!p->log || p->verbose != 1 || !p->terminal || done >= p->steps) return;
    double time = cnn_seconds();
    if (time - p->last_drawn < redraw_seconds) return;
    p->last_drawn = time;
    p->bar_open = true;
    print_running(p, (time - p->start) / done * (p->steps - done), logs);
    fflush(p->log);
}

void cnn_progress_end(cnn_progress *p, const cnn_logs *logs) {
    if (!p->log) return;
    double seconds = cnn_seconds() - p->start;
    if (p->verbose == 1) {
        if (p->terminal) fputc('\r', p->log);
        print_bar(p, BAR_WIDTH);
    } else {
        fprintf(p->log, "%d/%d", p->done, p->steps);
    }
    fprintf(p->log, " - ");
    print_duration(p->log, seconds);
    print_pace(p->log, seconds, p->done);
    print_logs(p->log, logs);
    fprintf(p->log, p->terminal ? "\033[K\n" : "\n");
    fflush(p->log);
    p->bar_open = false;
}

void cnn_progress_break(cnn_progress *p) {
    if (p->bar_open) fputc('\n', p->log);
    p->bar_open = false;
}
