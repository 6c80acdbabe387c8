#include "product.h"

#include <math.h>

#include "lanes.h"

#define TILT 0.6f          /* √(1 - k²) / k in the middle of what is asked: t around 0.9 */
#define LEAST 0.01         /* of |y|², else a row is apart: its angle to y means nothing */
#define MOST_REST 0.995f   /* √(1 - LEAST), rounded up */
#define EDGE 1e-5f         /* and what is computed of a row errs by less */
#define FIRST_GROUP 4      /* of the tables */

/* ---- coding ---- */

static uint32_t nearest(const float centroids[][16], const float *y) {
    float far[16] = {0};
    for (int i = 0; i < 3; i++)
        for (int c = 0; c < 16; c++) far[c] += (y[i] - centroids[i][c]) * (y[i] - centroids[i][c]);
    uint32_t best = 0;
    for (uint32_t c = 1; c < 16; c++)
        if (far[c] < far[best]) best = c;
    return best;
}

static bool within(sc_range range, float x) { return x >= range.least + EDGE && x <= range.most - EDGE; }

/* The class and margin bytes; false if the model's classes do not hold such a row. */
static bool classify(const sc_model *m, float rest, float stray, float margin, uint8_t *margin_byte, uint8_t *class) {
    uint32_t k = 0;
    while (k < SC_CLASSES - 1 && rest > m->rests[k]) k++;
    float byte = (margin - EDGE - m->margin_least) / m->margin_step;
    *margin_byte = (uint8_t)(byte > 0 ? byte < 255 ? byte : 255 : 0);
    *class = (uint8_t)k;
    return rest <= m->rests[k] && byte >= 0 && within(m->strays[k], stray) && within(m->margins[k], margin);
}

float sc_product_store(sc_region *r, sc_model *m, uint32_t lane, const sc_leading *x) {
    uint8_t *to = (uint8_t *)sc_lane_tag(r, lane), codes[2 * SC_CODE_ROWS] = {0};
    double dot = 0, square = 0, length = 0;
    for (uint32_t g = 0; g < SC_GROUPS; g++) {
        const float (*centroids)[16] = m->centroids + 3 * g, *y = x->y + 3 * g;
        uint32_t code = nearest(centroids, y);
        codes[FIRST_GROUP + g] = (uint8_t)code;
        for (int i = 0; i < 3; i++) {
            dot += (double)centroids[i][code] * y[i];
            square += (double)centroids[i][code] * centroids[i][code];
            length += (double)y[i] * y[i];
        }
    }
    double along = length > 0 ? dot / sqrt(length) : 0, stray = sqrt(square > along * along ? square - along * along : 0);
    uint8_t margin, class;
    bool held = classify(m, x->rest, (float)stray, (float)(along - TILT * stray), &margin, &class) &&
                along >= 0 && length >= LEAST; /* then the angles' sum is at most π */
    codes[0] = margin & 15;
    codes[1] = margin >> 4;
    codes[2] = class;
    for (int k = 0; k < SC_CODE_ROWS; k++) to[SC_LANES * (k + 1)] = (uint8_t)(codes[2 * k] | codes[2 * k + 1] << 4);
    sc_a32 *apart = &r->coded[lane / SC_LANES].apart;
    uint32_t bit = 1u << lane % SC_LANES;
    SC_STORE(apart, held ? SC_LOAD(apart) & ~bit : SC_LOAD(apart) | bit);
    return (float)(1 - length + (length - 2 * dot + square));
}

/* ---- the query's tables ---- */

/* The least k of rows whose rest lies in [low, high]: (t - r_q r) / √(1 - r²) falls until r = r_q / t. */
static float least_k(float t, float rest, float length, float low, float high) {
    float r = rest / t;
    r = r < low ? low : r > high ? high : r;
    r = r < MOST_REST ? r : MOST_REST;
    return (t - rest * r) / (length * sqrtf(1 - r * r));
}

/* Each class's k, and their mean but for those that cannot reach the floor (k > 1); false if one is not positive. */
static bool slopes(const sc_model *m, const sc_leading *q, float length, float t, float slack, float k[SC_CLASSES],
                   float *mean) {
    float sum = 0, n = 0;
    for (int b = 0; b < SC_CLASSES; b++) {
        float low = b ? m->rests[b - 1] * m->rests[b - 1] - 5 * slack - 2e-6f : 0; /* a rest is rounded up */
        k[b] = least_k(t, q->rest, length, low > 0 ? sqrtf(low) : 0, m->rests[b]);
        if (!(k[b] > 0)) return false;
        if (k[b] <= 1) sum += k[b], n++;
    }
    *mean = n ? sum / n : 1;
    return true;
}

/* What a class adds to the mean slope times the margin, at least. */
static float constant_of(const sc_model *m, int b, float k, float mean) {
    float of_stray = k * TILT - sqrtf(1 - k * k), of_margin = k - mean;
    return of_margin * (of_margin > 0 ? m->margins[b].least : m->margins[b].most) +
           of_stray * (of_stray > 0 ? m->strays[b].least : m->strays[b].most);
}

static void fill(uint8_t table[16], const float loss[16], float scale) {
    for (int i = 0; i < 16; i++) {
        float x = loss[i] * scale;
        table[i] = (uint8_t)(x > 0 ? x < 255 ? x : 255 : 0);
    }
}

/* What each centroid of each group loses to the best of its group; returns the sum of the best. */
static float lose(const sc_model *m, const float *y, float loss[SC_GROUPS][16]) {
    float total = 0;
    for (uint32_t g = 0; g < SC_GROUPS; g++, y += 3) {
        float dot[16], best = -INFINITY;
        for (int c = 0; c < 16; c++) {
            dot[c] = y[0] * m->centroids[3 * g][c] + y[1] * m->centroids[3 * g + 1][c] + y[2] * m->centroids[3 * g + 2][c];
            best = dot[c] > best ? dot[c] : best;
        }
        for (int c = 0; c < 16; c++) loss[g][c] = best - dot[c];
        total += best;
    }
    return total;
}

void sc_product_prepare(const sc_region *r, const sc_model *m, const sc_leading *x, float floor, sc_product_query *q) {
    float k[SC_CLASSES], mean, least = INFINITY, square = 0, one = sc_model_slack(r->dim), slack = 4 * one + 2e-5f;
    float constants[16], low[16], high[16], loss[SC_GROUPS][16];
    for (int i = 0; i < SC_LEADING; i++) square += x->y[i] * x->y[i];
    float length = sqrtf(square) * (1 + 1e-5f) + slack;
    float t = floor - 2e-7f - 2 * one; /* similarities are rounded to float, and y errs */
    q->idle = !slopes(m, x, length, t, one, k, &mean);
    if (q->idle) return;
    for (int b = 0; b < SC_CLASSES; b++) {
        constants[b] = k[b] > 1 ? INFINITY : length * constant_of(m, b, k[b], mean) - slack;
        least = constants[b] < least ? constants[b] : least;
    }
    float most = lose(m, x->y, loss) - least - length * mean * m->margin_least;
    q->nothing = !(most > 0);
    float scale = 254 / ((most > 1e-6f ? most : 1e-6f) * (1 + 1e-5f)), step = length * mean * m->margin_step;
    for (int i = 0; i < 16; i++) {
        low[i] = step * (float)i;
        high[i] = 16 * low[i];
        constants[i] -= least;
    }
    memset(q->tables[3], 0, 16);
    fill(q->tables[0], low, scale);
    fill(q->tables[1], high, scale);
    fill(q->tables[2], constants, scale);
    for (uint32_t g = 0; g < SC_GROUPS; g++) fill(q->tables[FIRST_GROUP + g], loss[g], scale);
}
