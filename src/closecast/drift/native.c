/* The two inner loops of drift, for native.py.
 *
 * Both decide the usual case and leave all else to the Python code beside them, which stays the
 * definition of what they compute: windows that are suspicious, and places that are unsure.
 */
#include <math.h>
#include <stdint.h>

#define MOST_RETURNS 1024 /* of a window; native.py asks for no more */
#define MOST_LANDMARKS 16
#define DECIMALS 11 /* counted, as in rounding.py */
#define LEAST_DIGITS 10 /* of a close of 1e-9 and its decimals, below zero */
#define MOST_DIGITS 48
#define LN_10 2.302585092994046
#define MOST_VOTES 256 /* more of them, and NumPy counts */
#define STATISTICS 14 /* in the order of native.py */

const int64_t closecast_source = SOURCE; /* checksum of this file when it was compiled */

/* ---- where windows lie among known closes: provenance.py ------------------------------------ */

typedef struct {
    const double *returns; /* of one history after the other, a NaN after each */
    const double *sorted;  /* the returns by size, and the place of each */
    const int64_t *order;
    const int64_t *ends; /* of the histories */
    const double *before, *after; /* in the order of `sorted`: the moves beside each */
    const double *logs;  /* of the closes, and the rounding error of each; NULL if not asked for */
    const double *error;
    int64_t known, histories;
} Index;

typedef struct {
    double cent, least, most; /* what rounding does to a return, and its limits */
    double still, same;       /* a move that is none; share of moves that have to agree */
    int64_t enough;           /* moves in common */
    int64_t crowd, most_alike, votes, voters, spread, landmarks, landmarks_elsewhere;
    double equal, finest, cent_error, large_error, single; /* of rounding.py */
} Rules;

static const double POWERS[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10};

enum { NOWHERE, EXACT, REVERSED, UNSURE, AGREES };

static int64_t search(const double *sorted, int64_t n, double wanted)
{
    int64_t low = 0;
    while (n > 0) {
        int64_t half = n / 2;
        if (sorted[low + half] < wanted) {
            low += half + 1;
            n -= half + 1;
        } else {
            n = half;
        }
    }
    return low;
}

static int64_t end_of(const Index *index, int64_t start)
{
    int64_t low = 0, n = index->histories;
    while (n > 0) {
        int64_t half = n / 2;
        if (index->ends[low + half] <= start) {
            low += half + 1;
            n -= half + 1;
        } else {
            n = half;
        }
    }
    return index->ends[low];
}

static int moving(const double *moves, int64_t n, const Rules *rules)
{
    int64_t found = 0;
    for (int64_t i = 0; i < n; i++)
        found += fabs(moves[i]) > rules->still;
    return found >= rules->enough;
}

/* Whether the window is known in one piece that begins there. */
static int aligned(
    const Index *index, const Rules *rules, const double *moves, int64_t n, double near,
    int64_t start)
{
    int64_t left = end_of(index, start) - 1 - start, common = left < n ? left : n, agree = 0;
    for (int64_t i = 0; i < common; i++)
        agree += fabs(index->returns[start + i] - moves[i]) <= near;
    if (common < rules->enough || !((double)agree >= rules->same * (double)common))
        return 0;
    return common == n || moving(moves, common, rules);
}

/* The first place where moves are like a landmark and its neighbours, and all others agree. */
static int64_t find(
    const Index *index, const Rules *rules, const double *moves, int64_t n, double near,
    const int64_t *landmarks, int64_t count)
{
    for (int64_t k = 0; k < count; k++) {
        int64_t column = landmarks[k];
        double wanted = moves[column];
        double next = moves[column + 1 < n ? column + 1 : n - 1];
        double previous = moves[column > 0 ? column - 1 : 0];
        int64_t low = search(index->sorted, index->known, wanted - near);
        int64_t alike = search(index->sorted, index->known, wanted + near) - low;
        if (alike > rules->most_alike)
            continue;
        for (int64_t i = low; i < low + alike; i++) {
            int64_t place = index->order[i];
            int goes_on = fabs(index->returns[place + 1] - next) <= near;
            int comes_from = place > 0 && fabs(index->returns[place - 1] - previous) <= near;
            if (!(goes_on && comes_from) &&
                (!(goes_on || comes_from) || alike > rules->crowd))
                continue;
            if (place >= column && aligned(index, rules, moves, n, near, place - column))
                return place - column;
        }
    }
    return -1;
}

/* Whether enough pairs of moves are known at one distance from the window: alignment.py. */
static int partly_there(
    const Index *index, const Rules *rules, const double *moves, int64_t n, double near)
{
    int32_t votes[MOST_VOTES];
    int64_t count = 0, low = 0, high = 0, searched = -1;
    for (int64_t first = 0; first + 1 < n; first++) {
        int64_t later = fabs(moves[first + 1]) > fabs(moves[first]);
        int64_t key = first + later, other = first + 1 - later;
        if (!(fabs(moves[key]) > rules->still))
            continue;
        if (key != searched) { /* two pairs may share the larger move */
            low = search(index->sorted, index->known, moves[key] - near);
            high = low;
            while (high < index->known && index->sorted[high] < moves[key] + near)
                high++;
            searched = key;
        }
        if (high - low > rules->voters)
            continue;
        const double *beside = later ? index->before : index->after;
        for (int64_t i = low; i < high; i++) {
            if (!(fabs(beside[i] - moves[other]) <= near))
                continue;
            if (count == MOST_VOTES)
                return 1;
            votes[count++] = (int32_t)(index->order[i] - key);
        }
    }
    for (int64_t i = 0; i < count; i++) {
        int32_t near_by = 0, least = votes[i] - 1, most = votes[i] + (int32_t)rules->spread + 1;
        for (int64_t j = 0; j < count; j++)
            near_by += (votes[j] > least) & (votes[j] < most);
        if (near_by >= rules->votes)
            return 1;
    }
    return 0;
}

/* Half a unit of the last digit of each close, over the close: rounding.py. */
static void rounding(
    const Rules *rules, const double *closes, const double *logs, int64_t n, double *error)
{
    int64_t decimals[MOST_RETURNS + 1], before[MOST_RETURNS + 1];
    int64_t by_decimals[MOST_DIGITS] = {0}, by_digits[MOST_DIGITS] = {0};
    for (int64_t i = 0; i < n; i++) {
        int64_t found = 0;
        for (; found < DECIMALS - 1; found++) {
            double scaled = closes[i] * POWERS[found];
            if (fabs(scaled - rint(scaled)) <= rules->single * scaled)
                break;
        }
        decimals[i] = found;
        before[i] = (int64_t)floor(logs[i] / LN_10 + 1e-9) + 1;
        int64_t digits = found + before[i] + LEAST_DIGITS;
        by_decimals[found]++;
        by_digits[digits < 0 ? 0 : digits < MOST_DIGITS ? digits : MOST_DIGITS - 1]++;
    }
    int64_t fixed = -1, significant = -1, left = n / 4;
    for (int64_t seen = 0; seen <= left; seen += by_decimals[++fixed])
        ;
    for (int64_t seen = 0; seen <= left; seen += by_digits[++significant])
        ;
    significant -= LEAST_DIGITS;
    for (int64_t i = 0; i < n; i++) {
        int64_t own = significant - before[i] < fixed ? significant - before[i] : fixed;
        double half = 0.5 / POWERS[own > decimals[i] ? own : decimals[i]];
        half = fmin(half, fmax(rules->cent_error, rules->large_error * closes[i]));
        error[i] = fmax(half / closes[i], rules->finest);
    }
}

/* Whether all closes are those known from `start` on, to rounding, at one ratio: provenance.py. */
static int all_agree(
    const Index *index, const Rules *rules, const double *closes, const double *logs, int64_t n,
    int64_t start)
{
    int64_t left = end_of(index, start) - start, common = left < n ? left : n;
    double low = INFINITY, high = -INFINITY, error[MOST_RETURNS + 1];
    for (int64_t i = 0; i < common; i++) {
        double ratio = logs[i] - index->logs[start + i];
        low = fmin(low, ratio);
        high = fmax(high, ratio);
    }
    if (high - low <= rules->equal)
        return 1;
    rounding(rules, closes, logs, n, error);
    low = INFINITY;
    high = -INFINITY;
    for (int64_t i = 0; i < common; i++) {
        double ratio = logs[i] - index->logs[start + i];
        double apart = error[i] + index->error[start + i];
        high = fmax(high, ratio - apart);
        low = fmin(low, ratio + apart);
    }
    return high <= low;
}

/* matches, starts: per window what it is, and where it begins. */
void closecast_recognise(
    const Index *index, const Rules *rules, int64_t windows, int64_t n, const double *closes,
    const double *logs, const double *returns, int64_t both_ways, int64_t *matches,
    int64_t *starts)
{
    int64_t count = both_ways ? rules->landmarks : rules->landmarks_elsewhere;
    count = count < MOST_LANDMARKS ? count : MOST_LANDMARKS;
    count = count < n ? count : n;
    for (int64_t row = 0; row < windows; row++) {
        const double *sent = closes + row * (n + 1), *moves = returns + row * n;
        double backwards[MOST_RETURNS], lowest = sent[0];
        int64_t landmarks[MOST_LANDMARKS], start;
        matches[row] = NOWHERE;
        starts[row] = -1;
        if (!moving(moves, n, rules))
            continue;
        for (int64_t i = 1; i <= n; i++)
            lowest = sent[i] < lowest ? sent[i] : lowest;
        double near = rules->cent / lowest;
        near = near < rules->least ? rules->least : near > rules->most ? rules->most : near;
        for (int64_t k = 0; k < count; k++) { /* the largest first, and the first of equals */
            int64_t best = -1;
            for (int64_t i = 0; i < n; i++) {
                int taken = 0;
                if (best >= 0 && fabs(moves[i]) <= fabs(moves[best]))
                    continue;
                for (int64_t j = 0; j < k; j++)
                    taken |= landmarks[j] == i;
                if (!taken)
                    best = i;
            }
            landmarks[k] = best;
        }
        start = find(index, rules, moves, n, near, landmarks, count);
        if (start >= 0) {
            matches[row] = EXACT;
            if (index->error && all_agree(index, rules, sent, logs + row * (n + 1), n + 1, start))
                matches[row] = AGREES;
        } else if (both_ways) {
            for (int64_t i = 0; i < n; i++)
                backwards[i] = -moves[n - 1 - i];
            for (int64_t k = 0; k < count; k++)
                landmarks[k] = n - 1 - landmarks[k];
            start = find(index, rules, backwards, n, near, landmarks, count);
            if (start >= 0)
                matches[row] = REVERSED;
            else if (index->before && partly_there(index, rules, moves, n, near))
                matches[row] = UNSURE;
        }
        starts[row] = start;
    }
}

/* ---- whether a statistic may be beyond its threshold: reading.py and statistics/ ------------ */

typedef struct {
    double decay, around, floor, clip, large, still, normal; /* of reading.py */
    double least_jump, unit, least_ratio;       /* of jump.py, ratios.py and volatility.py */
    double least_unsure, least_clear, part;     /* of one_move.py, ratios.py and shock.py */
    double fade, old;                           /* of shock.py */
    double frozen;                                           /* of repeats.py, as all below */
    double volatility, level;                                /* the symbol's */
    double surprise;       /* minus log10 of how often its close stays the same */
    const double *filled;  /* minus log10 of the probability of so many repeated closes */
    double limits[STATISTICS];
} Symbol;

static double middle(double *values, int64_t n)
{
    int64_t low = 0, high = n - 1, wanted = n / 2;
    while (low < high) {
        double pivot = values[(low + high) / 2];
        int64_t i = low, j = high;
        while (i <= j) {
            while (values[i] < pivot)
                i++;
            while (values[j] > pivot)
                j--;
            if (i <= j) {
                double swapped = values[i];
                values[i++] = values[j];
                values[j--] = swapped;
            }
        }
        if (wanted <= j)
            high = j;
        else if (wanted >= i)
            low = i;
        else
            break;
    }
    return values[wanted];
}

static double absolute_sum(const double *values, int64_t n, int64_t last)
{
    double sum = 0;
    for (int64_t i = n - last; i < n; i++)
        sum += values[i];
    return fabs(sum) / sqrt((double)last);
}

static double log_ratio(double volatility, double level, const Symbol *of)
{
    return log(fmax(volatility / level, of->least_ratio));
}

/* Upper bounds of the statistics of one window. */
static void bound(
    const Symbol *of, int64_t n, const double *returns, const double *before, double gap,
    double *bounds)
{
    double cut[MOST_RETURNS], scratch[MOST_RETURNS], left[MOST_RETURNS], clipped[MOST_RETURNS];
    double left_weight[MOST_RETURNS], scores[MOST_RETURNS], floor = of->floor * of->volatility;
    for (int64_t i = 0; i < n; i++)
        scratch[i] = fabs(returns[i]);
    double typical = fmax(middle(scratch, n), floor);

    double start = before ? *before : of->volatility, variance = start * start;
    double behind = 0, weight = 0;
    for (int64_t i = 0; i < n; i++) {
        double score = returns[i] / fmax(sqrt(variance), floor / 3);
        cut[i] = fmin(fabs(returns[i]), of->clip * typical);
        variance = of->decay * variance + (1 - of->decay) * cut[i] * cut[i];
        scores[i] = fabs(score);
        clipped[i] = fmin(fmax(score, -of->large), of->large);
        left[i] = behind;
        left_weight[i] = weight;
        behind = of->around * behind + cut[i];
        weight = of->around * weight + 1;
    }

    double jump = 0, large = 0, shock = 0, faded = 1, spike = 0, ahead = 0, beyond;
    behind = weight = 0; /* now of the returns after one */
    beyond = 0;          /* and their weight */
    for (int64_t i = n - 1; i >= 0; i--) {
        double size = fabs(returns[i]);
        if (i < n - 1) { /* the pair of this one and the next: what is after the next is `ahead` */
            double a = returns[i], b = returns[i + 1];
            double cancelled = fmax(fabs(a - b) - fabs(a + b), 0);
            double both = of->normal * (left[i] + ahead) / (left_weight[i] + beyond);
            spike = fmax(spike, cancelled / (2 * fmax(both, floor)));
        }
        if (size >= of->least_unsure) {
            double one = of->normal * (left[i] + behind) / (left_weight[i] + weight);
            double scale = fmax(one, floor);
            large = fmax(large, (size >= of->least_clear ? 1 : of->part) * size / scale);
            if (size >= of->unit)
                scale = fmin(scale, of->volatility);
            if (size >= of->least_jump)
                jump = fmax(jump, size / scale);
        }
        double weighed = scores[i] * faded;
        shock = weighed > shock ? weighed : shock; /* fmax is a call */
        faded = faded * of->fade > of->old ? faded * of->fade : of->old;
        ahead = behind;
        beyond = weight;
        behind = of->around * behind + cut[i];
        weight = of->around * weight + 1;
    }

    int64_t share = n / 4, still = 0, run = 0, longest = 0;
    double calmest = INFINITY, wildest = 0;
    for (int64_t quarter = 0; quarter < 4; quarter++) {
        double sum = 0;
        for (int64_t i = n - (4 - quarter) * share; i < n - (3 - quarter) * share; i++)
            sum += fmin(fabs(returns[i]), of->large * typical);
        calmest = fmin(calmest, of->normal * sum / (double)share);
        wildest = fmax(wildest, of->normal * sum / (double)share);
    }
    for (int64_t i = 0; i < n; i++) {
        run = fabs(returns[i]) < of->still ? run + 1 : 0;
        still += run > 0;
        longest = run > longest ? run : longest;
    }
    int64_t week = n < 5 ? n : 5;
    double lately = 0;
    for (int64_t i = n - week; i < n; i++)
        lately += fabs(clipped[i]) / (double)week;

    bounds[0] = jump;
    bounds[1] = (double)longest * of->surprise - log10((double)n);
    bounds[2] = of->filled[still - ((double)longest >= of->frozen ? longest : 0)];
    bounds[3] = spike;
    bounds[4] = fabs(gap);
    bounds[5] = log_ratio(calmest, of->level, of);
    bounds[6] = log_ratio(calmest, start, of);
    bounds[7] = lately;
    bounds[8] = -log_ratio(wildest, of->level, of);
    bounds[9] = -log_ratio(wildest, start, of);
    bounds[10] = absolute_sum(clipped, n, week);
    bounds[11] = absolute_sum(clipped, n, n < 30 ? n : 30);
    bounds[12] = shock;
    bounds[13] = large;
}

/* suspicious: per window whether any bound is beyond its limit. before and gap may be NULL. */
void closecast_suspicious(
    const Symbol *of, int64_t windows, int64_t n, const double *returns, const double *before,
    const double *gap, uint8_t *suspicious)
{
    for (int64_t row = 0; row < windows; row++) {
        double bounds[STATISTICS];
        bound(of, n, returns + row * n, before ? before + row : 0, gap ? gap[row] : 0, bounds);
        suspicious[row] = 0;
        for (int64_t i = 0; i < STATISTICS; i++)
            suspicious[row] |= !(bounds[i] <= of->limits[i]);
    }
}
